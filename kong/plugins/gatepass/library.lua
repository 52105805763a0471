-- The library, libgatepass_kong.so: found, loaded and checked for its version once. Its
-- functions are documented in gatepass.h, of which this is the C part.

local ffi = require "ffi"

ffi.cdef [[
typedef struct gatepass gatepass;

enum {
    GATEPASS_ACTION_SEND = 1,
    GATEPASS_ACTION_SUSPEND = 2,
    GATEPASS_ACTION_READ_BODY = 3,
    GATEPASS_ACTION_FORWARD = 4,
    GATEPASS_ACTION_REPLY = 5
};

enum {
    GATEPASS_FAILURE_NOT_SENT = 1,
    GATEPASS_FAILURE_NO_REPLY = 2,
    GATEPASS_FAILURE_BROKEN = 3,
    GATEPASS_FAILURE_TOO_LARGE = 4
};

enum {
    GATEPASS_ANNOUNCEMENT_FOREIGN = 0,
    GATEPASS_ANNOUNCEMENT_APPLIED = 1,
    GATEPASS_ANNOUNCEMENT_FAILED = 2
};

enum {
    GATEPASS_METRIC_COUNTER = 1,
    GATEPASS_METRIC_GAUGE = 2,
    GATEPASS_METRIC_HISTOGRAM = 3
};

typedef struct { const char *data; uint32_t size; } gatepass_text;

typedef struct { gatepass_text name, value; } gatepass_field;

typedef struct { int32_t size; const char *data; } gatepass_lent;

typedef struct { gatepass_lent name, value; } gatepass_header;

typedef struct {
    uint32_t kind;
    uint32_t timeout_ms;
    uint32_t number;
    uint32_t port;
    double request;
    double callout;
    const gatepass_field *fields;
    const gatepass_field *access_log;
    uint32_t field_count, access_log_count;
    gatepass_text body;
    gatepass_text host;
    gatepass_text consumer_id, consumer_username, consumer_custom_id;
    gatepass_text consumer_groups, credential;
    uint32_t anonymous;
    uint32_t logged;
    const char *identity;
    uint32_t identity_size;
    uint32_t is_all;
    uint32_t may_repeat;
} gatepass_action;

typedef struct {
    uint32_t level;
    gatepass_text text;
} gatepass_line;

typedef struct {
    uint32_t kind;
    uint32_t label_count;
    gatepass_text name;
    const gatepass_field *labels;
    double amount;
    gatepass_text help;
} gatepass_sample;

uint32_t gatepass_abi(void);
const char *gatepass_version(void);
const gatepass_text *gatepass_check(const char *configuration, uint32_t size);
gatepass *gatepass_new(const char *configuration, uint32_t size, const char *directory,
                       uint32_t directory_size, uint32_t has_consumers, double now,
                       const gatepass_text **problems);
void gatepass_free(gatepass *gateway);
const gatepass_action *gatepass_begin(gatepass *gateway, double request,
                                      const char *address, uint32_t address_size,
                                      const char *peer, uint32_t peer_size,
                                      const char *id, uint32_t id_size,
                                      const char *certificate, uint32_t certificate_size,
                                      const char *method, uint32_t method_size,
                                      const char *target, uint32_t target_size,
                                      const char *scheme, uint32_t scheme_size,
                                      const gatepass_header *fields, uint32_t count,
                                      double now);
const gatepass_action *gatepass_body(gatepass *gateway, double request, const char *body,
                                     uint32_t size, double now);
const gatepass_action *gatepass_gone(gatepass *gateway, double request);
const gatepass_action *gatepass_reply(gatepass *gateway, double callout, uint32_t status,
                                      const char *head, uint32_t head_size,
                                      const uint32_t *sizes, uint32_t fields,
                                      const char *body, uint32_t size, double now);
const gatepass_action *gatepass_failed(gatepass *gateway, double callout, uint32_t failure,
                                       double now);
const gatepass_action *gatepass_tick(gatepass *gateway, double now);
const gatepass_action *gatepass_next(gatepass *gateway);
const gatepass_line *gatepass_log(gatepass *gateway);
const gatepass_text *gatepass_announcement(gatepass *gateway);
uint32_t gatepass_apply_announcement(gatepass *gateway, const char *text, uint32_t size,
                                     double now);
const gatepass_sample *gatepass_next_sample(gatepass *gateway);
uint32_t gatepass_max_reply(gatepass *gateway);
void gatepass_retire(gatepass *gateway);
uint32_t gatepass_in_progress(gatepass *gateway);
uint32_t gatepass_panics(gatepass *gateway);
]]

-- GATEPASS_ABI of gatepass.h.
local ABI = 10
local NAME = "libgatepass_kong"

-- Looks beside other libraries of Lua modules, then in the system's directories.
local function load()
  local path = package.searchpath(NAME, package.cpath)
  local ok, library = pcall(ffi.load, path or NAME .. ".so")
  if not ok then
    return nil, library
  end
  local found, abi = pcall(function() return library.gatepass_abi() end)
  if not found then
    return nil, (path or NAME) .. " is no library of Gatepass"
  end
  if abi ~= ABI then
    return nil, string.format("%s has the interface %d, this plugin needs %d: install the "
                              .. "library and the Lua files of one version; if they are, "
                              .. "restart: after a reload nginx may still have the old library",
                              path or NAME, tonumber(abi), ABI)
  end
  return library
end

local library, problem = load()

return {
  library = library,
  -- Why the library is not available.
  problem = problem,
}
