-- Begins a lineage, if the one that stands is the one that is to end.
-- KEYS: lineage, sequence, log, tags, urls
-- ARGV: the number that the node has seen, the lineage to end (empty: none), the one to begin,
--       the number to go past, the nonce of the first entry
local stands = redis.call('GET', KEYS[1]) or ''
-- What cannot be read is none.
if not string.match(stands, '^%d+%-%d+$') then
  stands = ''
end
if stands == ARGV[2] then
  local past = math.max(tonumber(redis.call('GET', KEYS[2]) or '0') or 0, tonumber(ARGV[4]))
  local number = string.format('%.0f', past + 1)
  redis.call('SET', KEYS[1], ARGV[3])
  redis.call('SET', KEYS[2], number)
  -- Its answers are of no use any more, so its purges are not.
  redis.call('UNLINK', KEYS[3], KEYS[4], KEYS[5])
  redis.call('XADD', KEYS[3], number .. '-0', 'l', ARGV[3], 'n', ARGV[5], 'h', '', 's', '', 'w', '0', 'a', '')
end
return report(ARGV[1])
