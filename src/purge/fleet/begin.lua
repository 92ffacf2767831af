-- Begins a lineage, if the one that stands is the one that is to end.
-- KEYS: lineage, sequence, log, tags, urls
-- ARGV: the number that the node has seen, the lineage to end (empty: none), the least generation of
--       the one to begin, its nonce, the number to go past, the nonce of the first entry
if standing() == ARGV[2] then
  -- Past what stood here on another server, too.
  local held = tonumber(string.match(redis.call('GET', KEYS[1]) or '', '^(%d+)%-') or '0')
  local generation = math.max(tonumber(ARGV[3]), held + 1)
  local lineage = string.format('%.0f', generation) .. '-' .. ARGV[4]
  local past = math.max(tonumber(redis.call('GET', KEYS[2]) or '0') or 0, tonumber(ARGV[5]))
  local number = string.format('%.0f', past + 1)
  redis.call('SET', KEYS[1], lineage .. ' ' .. server())
  redis.call('SET', KEYS[2], number)
  -- Its answers are of no use any more, so its purges are not.
  redis.call('UNLINK', KEYS[3], KEYS[4], KEYS[5])
  redis.call('HSET', KEYS[4], 'lineage', lineage)
  redis.call('HSET', KEYS[5], 'lineage', lineage)
  redis.call('XADD', KEYS[3], number .. '-0',
    'l', lineage, 'n', ARGV[6], 'h', '', 's', '', 'w', '0', 'a', '')
end
return report(ARGV[1])
