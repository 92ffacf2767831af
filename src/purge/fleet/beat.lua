-- A node tells how far it is, and asks how the sequence stands. It writes, so that a server that is
-- no primary any more, or may not accept writes, does not pass for one.
-- KEYS: lineage, sequence, log, nodes
-- ARGV: the number it has seen, the node's name, its lineage, the number it has applied
local now = redis.call('TIME')
local millis = now[1] .. string.format('%03d', math.floor(tonumber(now[2]) / 1000))
redis.call('HSET', KEYS[4], ARGV[2], ARGV[3] .. ' ' .. ARGV[4] .. ' ' .. millis)
return report(ARGV[1])
