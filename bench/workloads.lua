-- workloads.lua: which user asks next, for wrk. Arguments: FILE of the image, TOKEN, requests between two
-- that come from a user who was not seen before (0: none), USERS of those for each thread, known users.
-- Prints what was cold as the answers say.
local number = 0
local threads = {}

function setup(thread)
    thread:set("id", number)
    number = number + 1
    table.insert(threads, thread)
end

function init(args)
    local file = assert(io.open(args[1], "rb"))
    body = file:read("*a")
    file:close()
    headers = {["Authorization"] = "Bearer " .. args[2]}
    every, fresh, known = tonumber(args[3]), tonumber(args[4]), tonumber(args[5])
    count, new, cold, answers, bad = 0, 0, 0, 0, 0
end

function request()
    local user
    count = count + 1
    if every > 0 and count % every == 0 then
        user = string.format("new%d-%d", id, new % fresh)
        new = new + 1
    else
        user = "known" .. (count * 7 + id) % known
    end
    return wrk.format("POST", "/v1/call/" .. user, headers, body)
end

function response(status, got)
    answers = answers + 1
    if string.find(got["Wardmote-Call"] or "", "cold=1", 1, true) then cold = cold + 1 end
    if status ~= 200 then bad = bad + 1 end
end

function done(summary, latency, requests)
    local all, colds, bads = 0, 0, 0
    for _, thread in ipairs(threads) do
        all = all + thread:get("answers")
        colds = colds + thread:get("cold")
        bads = bads + thread:get("bad")
    end
    print(string.format("RESULT %d %d %d %f %f %f", all, colds, bads + summary.errors.connect +
        summary.errors.read + summary.errors.write + summary.errors.timeout, summary.duration / 1e6,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
