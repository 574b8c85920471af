-- ARGV for each verdict: lane, job, fence, health, took in ms, next (done, release, in turn, later), then delay in ms, rank,
-- rank in front and 9 - priority (all for later, the rank for in turn, else empty)
call('SET', base .. 'gate', '')
local answers = {}
for lane, jobs in pairs(jobs_by_lane(1, 10)) do
  if lane.flying > 0 then read_leases(lane, jobs) end
end
for at = 1, #ARGV, 10 do
  local lane, job = open(ARGV[at]), ARGV[at + 1]
  local lease = lane.flying > 0 and lease_of(lane, job)
  if lease and lease.fence == ARGV[at + 2] then
    end_lease(lane, job, lease.worker)
    judge(lane, ARGV[at + 3], tonumber(ARGV[at + 4]))
    local next_ = ARGV[at + 5]
    if lane.told == 0 and next_ ~= 'done' then
      -- Whether the lane is ordered is not known: the job waits in SQL for the sweep, which tells the lane first.
    elseif next_ == 'release' then
      insert_ready(lane, job, front(lease.rank))
    elseif next_ == 'in turn' then
      insert_ready(lane, job, ARGV[at + 7])
    elseif next_ == 'later' and lane.ord == 1 then
      lane.hold = math.min(now + tonumber(ARGV[at + 6]), SPAN - 1)
      insert_ready(lane, job, ARGV[at + 8])
    elseif next_ == 'later' then
      insert(lane, job, ARGV[at + 7], tonumber(ARGV[at + 9]), tonumber(ARGV[at + 6]))
    end
    answers[#answers + 1] = 1
  else
    answers[#answers + 1] = 0
  end
end
finish()
return answers
