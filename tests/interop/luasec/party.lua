-- Runs the calls of a test, one in each line, and prints their results as JSON. `o` holds the objects by name.
io.stdout:setvbuf("line")
socket, ssl = require "socket", require "ssl"
o = {}

local function text(s)
    return '"' .. s:gsub('[^%w ]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
end

local function json(v)
    local kind = type(v)
    if kind == "nil" then return "null" end
    if kind == "boolean" then return tostring(v) end
    if kind == "number" then return v == math.floor(v) and ("%d"):format(v) or tostring(v) end
    if kind == "string" then return text(v) end
    if kind ~= "table" then return '"object"' end
    local parts = {}
    if #v > 0 or next(v) == nil then
        for _, value in ipairs(v) do parts[#parts + 1] = json(value) end
        return "[" .. table.concat(parts, ",") .. "]"
    end
    for key, value in pairs(v) do parts[#parts + 1] = text(tostring(key)) .. ":" .. json(value) end
    return "{" .. table.concat(parts, ",") .. "}"
end

function keep(name, value, ...)
    o[name] = value
    return value, ...
end

-- End the stream of a connection without a close_notify: the wrapped object gets its descriptor back for a moment.
function cut(name)
    local raw = o["raw " .. name]
    raw:setfd(o[name]:getfd())
    raw:shutdown("send")
    raw:setfd(-1)
end

function ready(name, side)
    local list = {o[name]}
    local reading, writing, err = socket.select(side == "read" and list or nil, side == "write" and list or nil, 30)
    return err
end

function close_all()
    for _, object in pairs(o) do
        if type(object) == "userdata" and object.close then object:close() end
    end
    o = {}
end

for line in io.lines() do
    local results = table.pack(pcall(assert(load("return " .. line))))
    local parts = {}
    for i = 1, results.n do parts[i] = json(results[i]) end
    print("[" .. table.concat(parts, ",") .. "]")
end
