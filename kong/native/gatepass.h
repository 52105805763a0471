/* The C interface of libgatepass_kong.so, for LuaJIT's FFI.
 *
 * A gateway is one configuration in one worker. Events go in: a request begins, a body
 * is there, a service answered, time passed. Each gives the first action that is to be
 * carried out now, and gatepass_next the others, until there is none. Actions may be
 * about other requests than the one whose event it was: a reply resumes all that wait.
 *
 * Everything that is returned by pointer belongs to the library and is valid until the
 * next call with the same gateway. Everything that is passed is read during the call
 * only. A gateway is used by one thread at a time.
 *
 * All times are milliseconds since 1970. Numbers of requests and callouts are whole, as
 * Lua has them; requests are numbered by the caller, each number once, above zero.
 */
#ifndef GATEPASS_H
#define GATEPASS_H

#include <stdint.h>

/* Changes with everything below. The caller must not use a library that returns
 * another number from gatepass_abi. */
#define GATEPASS_ABI 5

/* The part below is read by LuaJIT as well: no preprocessor. */

typedef struct gatepass gatepass;

/* Bytes; not ended by a zero. */
typedef struct { const char *data; uint32_t size; } gatepass_text;

typedef struct { gatepass_text name, value; } gatepass_field;

typedef struct {
    /* 1 send: a callout that no request waits for.
     * 2 suspend: hold the request; send the callout, if there is one.
     * 3 read body: collect `number` bytes of the request's body and give them to
     *   gatepass_body; nothing of the request goes upstream.
     * 4 forward: carry out `fields` in their order and let the request pass.
     * 5 reply: answer the request with status `number`, `fields` and `body`. */
    uint32_t kind;
    /* The callout's time limit for the whole exchange. */
    uint32_t timeout_ms;
    uint32_t number;
    /* The callout's port; 0 if host is the path of a socket. */
    uint32_t port;
    double request;
    /* 0: none. */
    double callout;
    /* Forward: without a name the new target, without data in value a field to
     * remove, else one to set. Reply: header fields; a name may come twice. Callout:
     * header fields, pseudo headers first. */
    const gatepass_field *fields;
    /* What the access log may print: gatepass.code, ... */
    const gatepass_field *access_log;
    uint32_t field_count, access_log_count;
    gatepass_text body;
    /* The callout's address; without data where one of Kong's own consumers is asked for:
     * the path is `/` and the field, the body its value, and gatepass_reply is to have the
     * consumer as JSON, with status 200, or 404 if there is none. */
    gatepass_text host;
    /* Forward: the consumer as the upstream is told, each without data if there is
     * none. */
    gatepass_text consumer_id, consumer_username, consumer_custom_id;
    gatepass_text consumer_groups, credential;
    /* 1: forwarded as the anonymous consumer. */
    uint32_t anonymous;
    /* 1: gatepass_log has lines. */
    uint32_t logged;
} gatepass_action;

typedef struct {
    /* As nginx numbers them: 4 error ... 8 debug. */
    uint32_t level;
    gatepass_text text;
} gatepass_line;

typedef struct {
    /* 1 counter, 2 gauge, 3 histogram. */
    uint32_t kind;
    uint32_t label_count;
    gatepass_text name;
    const gatepass_field *labels;
    /* To add, to set or to record. */
    double amount;
} gatepass_reading;

uint32_t gatepass_abi(void);

/* The version of Gatepass, ended by a zero. */
const char *gatepass_version(void);

/* What is wrong with a configuration, one problem a line; null if nothing is. What only
 * the machine that runs it can know is not asked: environment and vaults. The text is
 * valid until the thread's next call of gatepass_check or gatepass_new. */
const gatepass_text *gatepass_check(const char *configuration, uint32_t size);

/* A gateway; null if something is wrong, which is then in *problems, one a line.
 * `directory` is where workers share data: null or empty for none. */
gatepass *gatepass_new(const char *configuration, uint32_t size, const char *directory,
                       uint32_t directory_size, double now,
                       const gatepass_text **problems);
void gatepass_free(gatepass *gateway);

/* A request begins. `head` holds the bytes of its fields, `sizes` the lengths of each
 * name and each value in turn. The first four fields have no name: the client's address,
 * the address of the connection, the id under which the host logs the request, and the
 * client's certificate in PEM, which the host verified; empty if there is none. Then come
 * the pseudo headers and all header fields, in order, names in lower case. */
const gatepass_action *gatepass_begin(gatepass *gateway, double request, const char *head,
                                      uint32_t head_size, const uint32_t *sizes,
                                      uint32_t fields, double now);

/* The body that was asked for; null if it cannot be had. */
const gatepass_action *gatepass_body(gatepass *gateway, double request, const char *body,
                                     uint32_t size, double now);

/* The request ended early: while it waited, or before its body was whole. */
const gatepass_action *gatepass_gone(gatepass *gateway, double request);

/* A service answered; head as in gatepass_begin, without anything before its fields. */
const gatepass_action *gatepass_reply(gatepass *gateway, double callout, uint32_t status,
                                      const char *head, uint32_t head_size,
                                      const uint32_t *sizes, uint32_t fields,
                                      const char *body, uint32_t size, double now);

/* A callout brought no answer: 1 it was not sent, 2 no reply in time, 3 the reply broke
 * off or is no HTTP, 4 it is larger than gatepass_max_reply. */
const gatepass_action *gatepass_failed(gatepass *gateway, double callout, uint32_t cause,
                                       double now);

/* Time has passed: to be called about ten times a second. */
const gatepass_action *gatepass_tick(gatepass *gateway, double now);

/* What else is to be done; null: nothing. */
const gatepass_action *gatepass_next(gatepass *gateway);

/* Null: no more. */
const gatepass_line *gatepass_log(gatepass *gateway);

/* What a request revoked here, for gatepass_hear of the other nodes; null: no more. To be
 * called when there were lines to log, until it gives null: what is not taken is kept. */
const gatepass_text *gatepass_announcement(gatepass *gateway);

/* Another node announced this: 0 if it is for other gateways, 1 if it holds here now, 2 if it
 * could not be taken in. */
uint32_t gatepass_hear(gatepass *gateway, const char *text, uint32_t size, double now);

/* What was counted since the last call that gave null. To be called until it does, also by
 * callers that count nothing: what is not taken is kept. */
const gatepass_reading *gatepass_metric(gatepass *gateway);

/* The most bytes that the body of a reply may have. */
uint32_t gatepass_max_reply(gatepass *gateway);

/* The configuration is not used any more: no more key fetches. */
void gatepass_retire(gatepass *gateway);

/* How many requests and callouts are under way. A gateway that has some is not to be
 * freed. */
uint32_t gatepass_held(gatepass *gateway);

/* How often the library failed inside and began anew. */
uint32_t gatepass_panics(gatepass *gateway);

#endif
