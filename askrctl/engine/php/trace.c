/* SPDX-License-Identifier: MIT
 * What another process of ours is doing: the frames of the PHP code it runs, read from its memory.
 *
 * It was forked from this one, so PHP's globals and its own code lie at the same addresses in both;
 * process_vm_readv(2) then follows the chain of frames there. The process is not stopped and need
 * not help: it may be stuck in a system call, a regular expression or a loop. What changes while it
 * is read may give a wrong name, never a crash here: each read is checked, copies are bounded, and
 * nothing read is followed without another checked read. As php-fpm does it for its slow log.
 *
 * The line of a loop that calls nothing is the line PHP last wrote down, which may be some above.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "askr_php.h"

enum {
    FRAMES_MAX = 64,
    NAME_MAX_SIZE = 256, /* longer names and paths are cut */
};

struct trace {
    pid_t pid;
    char *text;
    size_t size, used;
};

static int peek(const struct trace *trace, const void *from, void *to, size_t size)
{
    struct iovec local = {to, size}, remote = {(void *)from, size};
    ssize_t got = process_vm_readv(trace->pid, &local, 1, &remote, 1, 0);
    if (got < 0)
        return -errno;
    return got == (ssize_t)size ? 0 : -EFAULT;
}

/* Whatever it is, it must fit a line of a log. */
static void make_printable(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
    }
}

/* False: there is no string, and `out` is empty. */
static bool peek_string(const struct trace *trace, const zend_string *from, char *out)
{
    zend_string head;
    out[0] = '\0';
    if (!from || peek(trace, from, &head, offsetof(zend_string, val)))
        return false;
    size_t size = head.len < NAME_MAX_SIZE ? head.len : NAME_MAX_SIZE - 1;
    if (peek(trace, ZSTR_VAL(from), out, size))
        size = 0;
    out[size] = '\0';
    make_printable(out);
    return size > 0;
}

/* A C string of unknown size: up to its NUL, or to the end of the page that can still be read. */
static void peek_text(const struct trace *trace, const char *from, char *out)
{
    size_t size = 0;
    while (from && size < NAME_MAX_SIZE - 1 && !peek(trace, from + size, out + size, 1) &&
           out[size])
        size++;
    out[size] = '\0';
    make_printable(out);
}

static void say(struct trace *trace, const char *line)
{
    int wrote = snprintf(trace->text + trace->used, trace->size - trace->used, "%s\n", line);
    if (wrote > 0 && (size_t)wrote < trace->size - trace->used)
        trace->used += (size_t)wrote;
    else
        trace->text[trace->used] = '\0'; /* only whole lines */
}

/* "Class::method" or "{main}"; a file's own code has no name. */
static void peek_name(const struct trace *trace, const zend_function *function, char *out)
{
    char class_name[NAME_MAX_SIZE] = "", name[NAME_MAX_SIZE];
    zend_class_entry entry;
    if (!peek_string(trace, function->common.function_name, name)) {
        snprintf(out, 2 * NAME_MAX_SIZE, "{main}");
        return;
    }
    if (function->common.scope && !peek(trace, function->common.scope, &entry, sizeof entry))
        peek_string(trace, entry.name, class_name);
    snprintf(out, 2 * NAME_MAX_SIZE, "%s%s%s()", class_name, class_name[0] ? "::" : "", name);
}

static void say_frame(struct trace *trace, const zend_execute_data *frame)
{
    zend_function function;
    zend_op opline;
    char name[2 * NAME_MAX_SIZE], file[NAME_MAX_SIZE], line[4 * NAME_MAX_SIZE];
    memset(&function, 0, sizeof function);
    /* An internal function is shorter than a user's: its common part says which it is. */
    if (!frame->func || peek(trace, frame->func, &function, sizeof function.common))
        return;
    bool is_ours = function.type == ZEND_USER_FUNCTION || function.type == ZEND_EVAL_CODE;
    if (is_ours && peek(trace, frame->func, &function, sizeof function.op_array))
        return;
    peek_name(trace, &function, name);
    if (!is_ours || !peek_string(trace, function.op_array.filename, file)) {
        say(trace, name);
        return;
    }
    bool has_line = frame->opline && !peek(trace, frame->opline, &opline, sizeof opline);
    snprintf(line, sizeof line, "%s %s:%u", name, file, has_line ? opline.lineno : 0);
    say(trace, line);
}

/* "GET /path": the query is nobody's business. */
static void say_request(struct trace *trace, const sapi_request_info *info)
{
    char method[NAME_MAX_SIZE], target[NAME_MAX_SIZE], line[2 * NAME_MAX_SIZE];
    peek_text(trace, info->request_method, method);
    peek_text(trace, info->request_uri, target);
    target[strcspn(target, "?")] = '\0';
    snprintf(line, sizeof line, "%s %s", method, target);
    say(trace, line);
}

int trace_process(int32_t pid, char *text, size_t size)
{
    struct trace trace = {.pid = pid, .text = text, .size = size};
    sapi_request_info info;
    zend_execute_data frame;
    const zend_execute_data *at;
    int result = peek(&trace, &SG(request_info), &info, sizeof info);
    if (!result)
        result = peek(&trace, &EG(current_execute_data), &at, sizeof at);
    if (result)
        return result;
    say_request(&trace, &info);
    for (int count = 0; at && count < FRAMES_MAX; count++) {
        if (peek(&trace, at, &frame, sizeof frame))
            break;
        say_frame(&trace, &frame);
        at = frame.prev_execute_data;
    }
    return 0;
}
