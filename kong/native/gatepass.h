/* The C interface of libgatepass_kong.so, for LuaJIT's FFI.
 *
 * A gateway is one configuration in one worker. The caller reports events: a request
 * begins, a body has arrived, a service replied, time has passed. Each call returns the
 * first resulting action, and gatepass_next the others, until it returns null. An action
 * may concern another request than the event: a reply resumes all that wait for it.
 *
 * Memory returned by pointer belongs to the library and is valid until the next call
 * with the same gateway. Memory passed in is read only during the call. A gateway must
 * be used by one thread at a time.
 *
 * All times are milliseconds since 1970. Numbers of requests and callouts are whole
 * numbers stored as doubles, as in Lua. The caller numbers requests: above zero, and
 * never reused.
 */
#ifndef GATEPASS_H
#define GATEPASS_H

#include <stdint.h>

/* Changes with everything below. The caller must not use a library that returns
 * another number from gatepass_abi. */
#define GATEPASS_ABI 10

/* The part below is read by LuaJIT as well: no preprocessor. */

typedef struct gatepass gatepass;

enum {
    /* A callout that no request waits for. */
    GATEPASS_ACTION_SEND = 1,
    /* Hold the request; send the callout, if there is one. */
    GATEPASS_ACTION_SUSPEND = 2,
    /* Collect `number` bytes of the request's body and pass them to gatepass_body; no part of
     * the request may go upstream. */
    GATEPASS_ACTION_READ_BODY = 3,
    /* Apply `fields` in order and let the request pass. */
    GATEPASS_ACTION_FORWARD = 4,
    /* Answer the request with status `number`, `fields` and `body`. */
    GATEPASS_ACTION_REPLY = 5
};

/* Why a callout failed. */
enum {
    GATEPASS_FAILURE_NOT_SENT = 1,
    /* None in time. */
    GATEPASS_FAILURE_NO_REPLY = 2,
    /* The reply was truncated or is not HTTP. */
    GATEPASS_FAILURE_BROKEN = 3,
    /* The reply is larger than gatepass_max_reply. */
    GATEPASS_FAILURE_TOO_LARGE = 4
};

enum {
    /* It is for other gateways. */
    GATEPASS_ANNOUNCEMENT_FOREIGN = 0,
    /* It is now in force here. */
    GATEPASS_ANNOUNCEMENT_APPLIED = 1,
    /* It could not be applied, as with entries that this version cannot read. */
    GATEPASS_ANNOUNCEMENT_FAILED = 2
};

enum {
    GATEPASS_METRIC_COUNTER = 1,
    GATEPASS_METRIC_GAUGE = 2,
    GATEPASS_METRIC_HISTOGRAM = 3
};

/* Bytes; not terminated by a zero. */
typedef struct { const char *data; uint32_t size; } gatepass_text;

typedef struct { gatepass_text name, value; } gatepass_field;

/* Bytes as nginx's Lua module lends them: ngx_http_lua_ffi_str_t. */
typedef struct { int32_t size; const char *data; } gatepass_lent;

/* A header field of a request: ngx_http_lua_ffi_table_elt_t. */
typedef struct { gatepass_lent name, value; } gatepass_header;

typedef struct {
    /* GATEPASS_ACTION_... */
    uint32_t kind;
    /* The callout's timeout, for the whole exchange. */
    uint32_t timeout_ms;
    uint32_t number;
    /* The callout's port; 0 if host is the path of a Unix socket. */
    uint32_t port;
    double request;
    /* 0: none. */
    double callout;
    /* Forward: without a name, the new target; without data in value, a field to remove;
     * otherwise one to set. Reply: header fields; names may be repeated. Callout: header
     * fields, pseudo-headers first. */
    const gatepass_field *fields;
    /* Fields for the access log: gatepass.code, ... */
    const gatepass_field *access_log;
    uint32_t field_count, access_log_count;
    gatepass_text body;
    /* The callout's address; without data for a lookup of one of Kong's own consumers: then
     * the path is `/` and the field, the body its value, and gatepass_reply must pass the
     * consumer as JSON, with status 200, or 404 if there is none. */
    gatepass_text host;
    /* Forward: the consumer as announced upstream, each without data if there is none. */
    gatepass_text consumer_id, consumer_username, consumer_custom_id;
    gatepass_text consumer_groups, credential;
    /* 1: forwarded as the anonymous consumer. */
    uint32_t anonymous;
    /* 1: gatepass_log has lines. */
    uint32_t logged;
    /* Forward: consumer, credential, anonymous and access_log as one text. Two identities
     * are the same if and only if these bytes are: what the caller derived from one can be
     * used for the next. */
    const char *identity;
    uint32_t identity_size;
    /* 1: no action follows, and gatepass_log has no lines. */
    uint32_t is_all;
    /* 1: the callout may be sent again over a new connection, if the service closed the kept
     * one without a reply. */
    uint32_t may_repeat;
} gatepass_action;

typedef struct {
    /* By nginx's numbers: 4 error ... 8 debug. */
    uint32_t level;
    gatepass_text text;
} gatepass_line;

typedef struct {
    /* GATEPASS_METRIC_... */
    uint32_t kind;
    uint32_t label_count;
    gatepass_text name;
    const gatepass_field *labels;
    /* The amount to add, set or record. */
    double amount;
    /* What the metric is. */
    gatepass_text help;
} gatepass_sample;

uint32_t gatepass_abi(void);

/* The version of Gatepass, terminated by a zero. */
const char *gatepass_version(void);

/* The problems of a configuration, one per line; null if there are none. Environment and
 * vaults are not checked, since only the machine that runs the configuration has them. The
 * text is valid until the thread's next call of gatepass_check or gatepass_new. */
const gatepass_text *gatepass_check(const char *configuration, uint32_t size);

/* Opens a gateway; null if the configuration is invalid, with the problems in *problems,
 * one per line. `directory`: where workers share data; null or empty for none.
 * `has_consumers`: 1 if the caller can look up Kong's own consumers. */
gatepass *gatepass_new(const char *configuration, uint32_t size, const char *directory,
                       uint32_t directory_size, uint32_t has_consumers, double now,
                       const gatepass_text **problems);
void gatepass_free(gatepass *gateway);

/* A request begins: the client's address, the address of the connection, the id under
 * which the host logs the request, the client's certificate in PEM, which the host
 * verified (empty if there is none), method, target as the client sent it, scheme, and all
 * header fields, in order. */
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

/* The requested body; null if it is not available. */
const gatepass_action *gatepass_body(gatepass *gateway, double request, const char *body,
                                     uint32_t size, double now);

/* The request ended early: while it waited, or before its body was complete. */
const gatepass_action *gatepass_gone(gatepass *gateway, double request);

/* A service replied. `head` contains the bytes of its header fields, `sizes` the lengths
 * of the names and values in turn; names in lower case. */
const gatepass_action *gatepass_reply(gatepass *gateway, double callout, uint32_t status,
                                      const char *head, uint32_t head_size,
                                      const uint32_t *sizes, uint32_t fields,
                                      const char *body, uint32_t size, double now);

/* A callout failed: GATEPASS_FAILURE_... */
const gatepass_action *gatepass_failed(gatepass *gateway, double callout, uint32_t failure,
                                       double now);

/* Time has passed. Must be called about ten times a second. */
const gatepass_action *gatepass_tick(gatepass *gateway, double now);

/* The next action; null if there is none. */
const gatepass_action *gatepass_next(gatepass *gateway);

/* The next log line; null if there is none. */
const gatepass_line *gatepass_log(gatepass *gateway);

/* The next revocation made by a request here, for gatepass_apply_announcement of the other
 * nodes; null if there is none. Must be called after there were lines to log, until it
 * returns null: those not taken are kept. */
const gatepass_text *gatepass_announcement(gatepass *gateway);

/* Applies what another node announced. Returns GATEPASS_ANNOUNCEMENT_... */
uint32_t gatepass_apply_announcement(gatepass *gateway, const char *text, uint32_t size,
                                     double now);

/* The next metric sample since the last call that returned null. Must be called until it
 * does, even by callers without metrics: samples not taken are kept. */
const gatepass_sample *gatepass_next_sample(gatepass *gateway);

/* The maximum size of a reply's body. */
uint32_t gatepass_max_reply(gatepass *gateway);

/* The configuration is no longer in use: no more key fetches. */
void gatepass_retire(gatepass *gateway);

/* The number of requests and callouts in progress. A gateway that has any must not be
 * freed. */
uint32_t gatepass_in_progress(gatepass *gateway);

/* How often the gateway was rebuilt after an internal failure. */
uint32_t gatepass_panics(gatepass *gateway);

#endif
