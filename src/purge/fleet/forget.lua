-- Forgets marks that are too old, some at a time.
-- KEYS: tags or urls
-- ARGV: where to go on, the age in seconds, how many to look at
-- Returns where to go on; 0 at the end.
local horizon = tonumber(redis.call('TIME')[1]) - tonumber(ARGV[2])
local step = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[3])
for at = 1, #step[2], 2 do
  local written = string.match(step[2][at + 1], ' (%d+)$')
  if written and tonumber(written) < horizon then
    redis.call('HDEL', KEYS[1], step[2][at])
  end
end
return step[1]
