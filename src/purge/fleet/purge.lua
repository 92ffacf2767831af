-- Gives a purge its number. All or nothing: the first write is refused where memory is full.
-- KEYS: lineage, sequence, log, tags, urls
-- ARGV: lineage, nonce, entries to keep, most tags, most URLs, whether somebody waits for the fleet,
--       tags purged hard, tags purged softly (each list separated by spaces)
-- Returns the number and what is purged beside; or 0 and the lineage that stands.
local lineage = standing()
if lineage ~= ARGV[1] then
  return {0, lineage}
end
-- Each entry names the nonce of the one before it.
local last = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)[1]
local after = last and last[2][4] or ''
local number = string.format('%.0f', redis.call('INCR', KEYS[2]))
local now = redis.call('TIME')
local value = number .. ' ' .. now[1]
local hard, soft, beside = ARGV[7], ARGV[8], ''

local tags, urls = {}, {}
local function gather(list, mode)
  for tag in string.gmatch(list, '%S+') do
    local into = tags
    if string.sub(tag, 1, 8) == 'generic/' and tag ~= 'generic/*' then
      into = urls
    end
    into[#into + 1] = mode .. tag
    into[#into + 1] = value
  end
end
gather(hard, 'h:')
gather(soft, 's:')
local entry_tags = (#tags + #urls) / 2

-- What anyone can fill is bounded apart: past it all URLs are purged at once.
if #urls > 0 and redis.call('HLEN', KEYS[5]) + #urls / 2 > tonumber(ARGV[5]) then
  redis.call('UNLINK', KEYS[5])
  redis.call('HSET', KEYS[5], 'lineage', lineage)
  urls = {}
  beside = 'generic/*'
end
if redis.call('HLEN', KEYS[4]) + #tags / 2 > tonumber(ARGV[4]) then
  redis.call('UNLINK', KEYS[4], KEYS[5])
  redis.call('HSET', KEYS[4], 'lineage', lineage)
  redis.call('HSET', KEYS[5], 'lineage', lineage)
  tags, urls = {}, {}
  beside = '*'
end
if beside ~= '' then
  hard = hard .. ' ' .. beside
  tags[#tags + 1] = 'h:' .. beside
  tags[#tags + 1] = value
end
-- Lua has room for some thousands of arguments.
local function write(key, fields)
  for first = 1, #fields, 2000 do
    redis.call('HSET', key, unpack(fields, first, math.min(first + 1999, #fields)))
  end
end
write(KEYS[4], tags)
write(KEYS[5], urls)
-- The log is bounded in tags too: one of more than ten takes the room of several.
local keep = math.ceil(tonumber(ARGV[3]) * 10 / math.max(10, entry_tags))
redis.call('XADD', KEYS[3], 'MAXLEN', '~', keep, number .. '-0',
  'l', lineage, 'n', ARGV[2], 'h', hard, 's', soft, 'w', ARGV[6], 'a', after)
return {tonumber(number), beside}
