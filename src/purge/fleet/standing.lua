-- The lineage that stands. It does so only on the server that it was begun on, for as long as that
-- is the primary: one that takes over, or comes back, may lack purges that were acknowledged, and
-- cannot tell. The run id tells servers and their starts apart, the replication id promotions.
local function server()
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
  local replication = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or ''
  return run .. replication
end

-- What cannot be read is none.
local function standing()
  local lineage, on =
    string.match(redis.call('GET', KEYS[1]) or '', '^(%d+%-%d+) (%w*)$')
  return on == server() and lineage or ''
end
