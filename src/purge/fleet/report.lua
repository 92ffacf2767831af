-- Says how the sequence stands, and what is at one number of it.
local function report(seen)
  local function nonce(entries, id)
    local entry = entries[1]
    if entry and entry[1] == id then
      return entry[2][4]
    end
    return ''
  end
  local sequence = redis.call('GET', KEYS[2]) or '0'
  local oldest = redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)[1]
  return {
    standing(),
    sequence,
    nonce(redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1), sequence .. '-0'),
    nonce(redis.call('XRANGE', KEYS[3], seen .. '-0', seen .. '-0'), seen .. '-0'),
    oldest and string.match(oldest[1], '^%d+') or '',
    redis.call('TIME')[1],
  }
end
