/* Records out of librdkafka by columns: no object for each, and most of the work without the interpreter's lock.
 *
 * confluent-kafka makes an object of each message, which costs more than all else that a feed does with a small
 * one. An Intake has librdkafka put the records of a consumer into a queue of its own, and takes them from there;
 * callbacks and errors of the whole client stay in the consumer's queue, which confluent-kafka serves.
 *
 * Only public interfaces are used. This file is a plugin of librdkafka's ("plugin.library.paths"): its
 * conf_init() finds out which librdkafka has loaded it, for wheels bring their own, and has it tell of each client
 * that is made. The declarations are those of rdkafka.h, whose layouts and prototypes are stable.
 *
 * Nothing here waits but wait(). The queue and its client are used under a lock, so that a client that is destroyed
 * by another thread takes nothing away from under a call; otherwise an Intake is owned by one thread, as its
 * consumer is.
 */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#define _GNU_SOURCE
#include <Python.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ------------------------------------------------------------ rdkafka.h */

typedef struct rd_kafka_s Client;
typedef struct rd_kafka_conf_s Conf;
typedef struct rd_kafka_queue_s Queue;
typedef struct rd_kafka_topic_s Topic;
typedef struct rd_kafka_headers_s Headers;

typedef struct {
    int err;
    Topic *topic;
    int32_t partition;
    void *payload;
    size_t len;
    void *key;
    size_t key_len;
    int64_t offset;
    void *_private;
} Message;

typedef int OnNew(Client *, const Conf *, void *, char *, size_t);
typedef int OnDestroy(Client *, void *);

#define FUNCTIONS(_)                                                                      \
    _(int, conf_interceptor_add_on_new, (Conf *, const char *, OnNew *, void *))          \
    _(int, interceptor_add_on_destroy, (Client *, const char *, OnDestroy *, void *))     \
    _(Queue *, queue_new, (Client *))                                                     \
    _(Queue *, queue_get_consumer, (Client *))                                            \
    _(Queue *, queue_get_partition, (Client *, const char *, int32_t))                    \
    _(void, queue_forward, (Queue *, Queue *))                                            \
    _(void, queue_io_event_enable, (Queue *, int, const void *, size_t))                  \
    _(void, queue_destroy, (Queue *))                                                     \
    _(ssize_t, consume_batch_queue, (Queue *, int, Message **, size_t))                   \
    _(const char *, topic_name, (const Topic *))                                          \
    _(const char *, message_errstr, (const Message *))                                    \
    _(int64_t, message_timestamp, (const Message *, int *))                               \
    _(int, message_headers, (const Message *, Headers **))                                \
    _(int, header_get_all, (const Headers *, size_t, const char **, const void **, size_t *)) \
    _(void, message_destroy, (Message *))

#define POINTER(result, name, arguments) result(*name) arguments;
static struct {
    FUNCTIONS(POINTER)
} rdkafka;

/* ------------------------------------------------------------ the client's side */

#define NAME "streamzarr"

typedef struct {
    pthread_mutex_t lock;
    int holders; /* the client, the thread that has made it until it is claimed, the Python object */
    Client *client; /* NULL: destroyed, or given up */
    Queue *records, *events;
    int woken[2]; /* a pipe, once it is open: librdkafka writes when one of the queues has something */
} Link;

static _Thread_local Link *newest; /* of the client that this thread has made last, until it is claimed */

static void link_close(Link *link) {
    pthread_mutex_lock(&link->lock);
    if (link->records) {
        rdkafka.queue_io_event_enable(link->records, -1, NULL, 0);
        rdkafka.queue_io_event_enable(link->events, -1, NULL, 0);
        rdkafka.queue_destroy(link->records);
        rdkafka.queue_destroy(link->events);
        link->records = link->events = NULL;
    }
    link->client = NULL;
    pthread_mutex_unlock(&link->lock);
}

static void link_drop(Link *link) {
    pthread_mutex_lock(&link->lock);
    int left = --link->holders;
    pthread_mutex_unlock(&link->lock);
    if (left == 0) {
        if (link->woken[1]) {
            close(link->woken[0]);
            close(link->woken[1]);
        }
        pthread_mutex_destroy(&link->lock);
        free(link);
    }
}

static void newest_set(Link *link) {
    if (newest)
        link_drop(newest);
    newest = link;
}

static int on_destroy(Client *client, void *opaque) { /* on a thread of librdkafka's, perhaps */
    (void)client;
    link_close(opaque);
    link_drop(opaque);
    return 0;
}

static int on_new(Client *client, const Conf *conf, void *opaque, char *error, size_t size) {
    (void)conf, (void)opaque, (void)error, (void)size;
    newest_set(NULL);
    Link *link = calloc(1, sizeof *link);
    if (link && rdkafka.interceptor_add_on_destroy(client, NAME, on_destroy, link) == 0) {
        pthread_mutex_init(&link->lock, NULL);
        link->holders = 2;
        link->client = client;
        newest_set(link);
    } else {
        free(link); /* the consumer goes without */
    }
    return 0;
}

static int find_functions(void *librdkafka) {
#define FIND(result, name, arguments)                                    \
    if (!(*(void **)&rdkafka.name = dlsym(librdkafka, "rd_kafka_" #name))) \
        return 0;
    FUNCTIONS(FIND)
    return 1;
}

/* Called by librdkafka for each client that names this file as a plugin. One that lacks a function goes without. */
__attribute__((visibility("default"))) int conf_init(Conf *conf, void **opaque, char *error, size_t size) {
    (void)opaque, (void)error, (void)size;
    Dl_info caller;
    newest_set(NULL);
    if (!dladdr(__builtin_return_address(0), &caller))
        return 0;
    void *librdkafka = dlopen(caller.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    if (librdkafka) {
        if (find_functions(librdkafka))
            rdkafka.conf_interceptor_add_on_new(conf, NAME, on_new, NULL);
        dlclose(librdkafka); /* whoever calls us keeps it */
    }
    return 0;
}

/* ------------------------------------------------------------ a batch of messages */

enum { MOST_STASHED = 256 << 10 }; /* bytes that stay in a core's cache: copied once more rather than waited for */

typedef struct {
    const char *value, *key; /* NULL: none */
    size_t value_size, key_size;
    int64_t offset, timestamp;
} Entry;

typedef struct { /* the records of one partition */
    const Topic *topic;
    char name[256];
    int32_t partition;
    Py_ssize_t count;
    Entry *entries;
    size_t nbytes; /* of the values */
    int nulls, keys, headers, gaps, sizes_differ;
    char *packed; /* where the values go, one behind the other; NULL: each becomes an object */
} Run;

typedef struct {
    Message **messages;
    Py_ssize_t count; /* of messages that are not destroyed yet */
    Py_ssize_t errors;
    Py_ssize_t runs_count, runs_room;
    Run *runs;
    int32_t *run_of; /* of each message; -1: an error */
    Entry *entries;  /* of the first run, of the second, and so on */
    Message **of_entries;
    char *stash;
} Batch;

static void batch_destroy_messages(Batch *batch) {
    for (Py_ssize_t at = 0; at < batch->count; at++)
        rdkafka.message_destroy(batch->messages[at]);
    batch->count = 0;
}

static void batch_free(Batch *batch) {
    batch_destroy_messages(batch);
    free(batch->messages);
    free(batch->runs);
    free(batch->run_of);
    free(batch->entries);
    free(batch->of_entries);
    free(batch->stash);
}

/* Return the number of the run that a message belongs to, most likely `last`; -1: no memory. */
static int32_t run_for(Batch *batch, const Message *message, int32_t last) {
    for (int32_t looked = 0; looked < batch->runs_count; looked++) {
        int32_t at = (int32_t)((last + looked) % batch->runs_count);
        const Run *run = batch->runs + at;
        if (run->topic == message->topic && run->partition == message->partition)
            return at;
    }
    if (batch->runs_count == batch->runs_room) {
        Py_ssize_t room = batch->runs_room ? 2 * batch->runs_room : 8;
        Run *runs = realloc(batch->runs, (size_t)room * sizeof *runs);
        if (!runs)
            return -1;
        batch->runs = runs;
        batch->runs_room = room;
    }
    Run *run = memset(batch->runs + batch->runs_count, 0, sizeof *run);
    run->topic = message->topic;
    run->partition = message->partition;
    strncpy(run->name, rdkafka.topic_name(message->topic), sizeof run->name - 1);
    return (int32_t)batch->runs_count++;
}

static void entry_add(Run *run, const Message *message) {
    Entry *entry = run->entries + run->count++;
    *entry = (Entry){
        .value = message->payload,
        .value_size = message->len,
        .key = message->key,
        .key_size = message->key_len,
        .offset = message->offset,
        .timestamp = rdkafka.message_timestamp(message, NULL),
    };
    Headers *headers;
    run->nbytes += entry->value_size;
    run->nulls |= !entry->value;
    run->keys |= entry->key != NULL;
    run->headers |= rdkafka.message_headers(message, &headers) == 0;
    if (run->count > 1) {
        run->gaps |= entry->offset != entry[-1].offset + 1;
        run->sizes_differ |= entry->value_size != entry[-1].value_size;
    }
}

/* Sort the messages by partition; return whether there was memory for that. */
static int batch_sort(Batch *batch) {
    size_t count = (size_t)batch->count;
    batch->run_of = malloc(count * sizeof *batch->run_of);
    batch->entries = malloc(count * sizeof *batch->entries);
    batch->of_entries = malloc(count * sizeof *batch->of_entries);
    if (!batch->run_of || !batch->entries || !batch->of_entries)
        return 0;
    int32_t run = 0;
    for (Py_ssize_t at = 0; at < batch->count; at++) {
        if (batch->messages[at]->err) {
            batch->run_of[at] = -1;
            batch->errors++;
            continue;
        }
        if ((run = run_for(batch, batch->messages[at], run)) < 0)
            return 0;
        batch->run_of[at] = run;
        batch->runs[run].count++;
    }
    Entry *start = batch->entries;
    for (Py_ssize_t at = 0; at < batch->runs_count; at++) {
        batch->runs[at].entries = start;
        start += batch->runs[at].count;
        batch->runs[at].count = 0;
    }
    for (Py_ssize_t at = 0; at < batch->count; at++) {
        if (batch->run_of[at] < 0)
            continue;
        Run *of = batch->runs + batch->run_of[at];
        batch->of_entries[of->entries + of->count - batch->entries] = batch->messages[at];
        entry_add(of, batch->messages[at]);
    }
    return 1;
}

static int is_packed(const Run *run, size_t most) {
    return most && !run->nulls && run->nbytes <= most * (size_t)run->count;
}

static size_t packed_size(const Run *run) { return run->nbytes + (size_t)run->count - 1; }

static void pack(const Run *run) {
    char *to = run->packed;
    for (Py_ssize_t at = 0; at < run->count; at++) {
        if (at)
            *to++ = '\n';
        memcpy(to, run->entries[at].value, run->entries[at].value_size);
        to += run->entries[at].value_size;
    }
}

/* Copy a small batch, and let its messages go at once: then the interpreter's lock is waited for only once. */
static void batch_stash(Batch *batch, size_t most) {
    size_t size = 0;
    for (Py_ssize_t at = 0; at < batch->runs_count; at++) {
        const Run *run = batch->runs + at;
        if (!is_packed(run, most) || run->headers)
            return;
        size += packed_size(run);
        for (Py_ssize_t entry = 0; run->keys && entry < run->count; entry++)
            size += run->entries[entry].key_size;
    }
    if (batch->errors || size > MOST_STASHED || !(batch->stash = malloc(size + 1)))
        return;
    char *to = batch->stash;
    for (Py_ssize_t at = 0; at < batch->runs_count; at++) {
        Run *run = batch->runs + at;
        run->packed = to;
        pack(run);
        to += packed_size(run);
        for (Entry *entry = run->entries; run->keys && entry < run->entries + run->count; entry++) {
            if (!entry->key)
                continue;
            entry->key = memcpy(to, entry->key, entry->key_size);
            to += entry->key_size;
        }
    }
    batch_destroy_messages(batch);
}

/* ------------------------------------------------------------ columns; each returns NULL with an exception set */

static PyObject *none(void) {
    Py_INCREF(Py_None);
    return Py_None;
}

static PyObject *bytes_or_none(const char *data, size_t size) {
    return data ? PyBytes_FromStringAndSize(data, (Py_ssize_t)size) : none();
}

static PyObject *offset_of(const Entry *entry) { return PyLong_FromLongLong(entry->offset); }
static PyObject *size_of(const Entry *entry) { return PyLong_FromSize_t(entry->value_size); }
static PyObject *value_of(const Entry *entry) { return bytes_or_none(entry->value, entry->value_size); }
static PyObject *key_of(const Entry *entry) { return bytes_or_none(entry->key, entry->key_size); }

static PyObject *list_of(const Run *run, PyObject *(*object_of)(const Entry *)) {
    PyObject *objects = PyList_New(run->count);
    for (Py_ssize_t at = 0; objects && at < run->count; at++) {
        PyObject *object = object_of(run->entries + at);
        if (!object || PyList_SetItem(objects, at, object) < 0)
            Py_CLEAR(objects);
    }
    return objects;
}

static PyObject *timestamps_of(const Run *run) {
    PyObject *timestamps = PyBytes_FromStringAndSize(NULL, run->count * (Py_ssize_t)sizeof(int64_t));
    char *to = timestamps ? PyBytes_AsString(timestamps) : NULL;
    for (Py_ssize_t at = 0; timestamps && at < run->count; at++, to += sizeof(int64_t))
        memcpy(to, &run->entries[at].timestamp, sizeof(int64_t));
    return timestamps;
}

/* Return the values: of a packed run bytes, which are filled later where no stash holds them. */
static PyObject *values_of(Run *run, size_t most) {
    if (!is_packed(run, most))
        return list_of(run, value_of);
    PyObject *values = PyBytes_FromStringAndSize(run->packed, (Py_ssize_t)packed_size(run));
    if (values && !run->packed)
        run->packed = PyBytes_AsString(values);
    return values;
}

static PyObject *headers_of_message(const Message *message) {
    Headers *headers;
    PyObject *found = PyList_New(0);
    if (!found || rdkafka.message_headers(message, &headers) != 0)
        return found;
    const char *name;
    const void *value;
    size_t size;
    for (size_t at = 0; rdkafka.header_get_all(headers, at, &name, &value, &size) == 0; at++) {
        /* A name may be any bytes; a record is worth more than what nobody can read of it. */
        PyObject *header = Py_BuildValue("(Ny#)", PyUnicode_DecodeUTF8(name, (Py_ssize_t)strlen(name), "replace"),
                                         value ? value : "", (Py_ssize_t)(value ? size : 0));
        int failed = !header || PyList_Append(found, header) < 0;
        Py_XDECREF(header);
        if (failed) {
            Py_DECREF(found);
            return NULL;
        }
    }
    return found;
}

static PyObject *headers_of(const Batch *batch, const Run *run) {
    PyObject *all = PyList_New(run->count);
    for (Py_ssize_t at = 0; all && at < run->count; at++) {
        PyObject *found = headers_of_message(batch->of_entries[run->entries - batch->entries + at]);
        PyObject *headers = found ? PyList_AsTuple(found) : NULL;
        Py_XDECREF(found);
        if (!headers || PyList_SetItem(all, at, headers) < 0)
            Py_CLEAR(all);
    }
    return all;
}

static PyObject *columns_of(const Batch *batch, Run *run, size_t most) {
    return Py_BuildValue(
        "(siNNNNNNn)", run->name, (int)run->partition,
        run->gaps ? list_of(run, offset_of) : offset_of(run->entries),
        run->keys ? list_of(run, key_of) : none(),
        values_of(run, most),
        run->sizes_differ ? list_of(run, size_of) : size_of(run->entries),
        run->headers ? headers_of(batch, run) : none(),
        timestamps_of(run), run->count);
}

static PyObject *runs_of(Batch *batch, size_t most) {
    PyObject *runs = PyList_New(batch->runs_count);
    for (Py_ssize_t at = 0; runs && at < batch->runs_count; at++) {
        PyObject *columns = columns_of(batch, batch->runs + at, most);
        if (!columns || PyList_SetItem(runs, at, columns) < 0)
            Py_CLEAR(runs);
    }
    return runs;
}

static PyObject *errors_of(const Batch *batch) {
    PyObject *errors = PyList_New(batch->errors);
    Py_ssize_t found = 0;
    for (Py_ssize_t at = 0; errors && found < batch->errors; at++) {
        const Message *message = batch->messages[at];
        if (!message->err)
            continue;
        const char *text = rdkafka.message_errstr(message);
        PyObject *error = Py_BuildValue(
            "(ziLiN)", message->topic ? rdkafka.topic_name(message->topic) : NULL, (int)message->partition,
            (long long)message->offset, message->err, PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace"));
        if (!error || PyList_SetItem(errors, found++, error) < 0)
            Py_CLEAR(errors);
    }
    return errors;
}

/* ------------------------------------------------------------ Intake */

typedef struct {
    PyObject_HEAD
    Link *link;
} Intake;

static PyObject *closed(void) {
    PyErr_SetString(PyExc_RuntimeError, "the consumer is closed");
    return NULL;
}

PyDoc_STRVAR(take_doc, "take(count, most, /)\n--\n\nTake up to `count` messages that are there.");

static PyObject *intake_take(PyObject *self, PyObject *arguments) {
    Link *link = ((Intake *)self)->link;
    Py_ssize_t count, most;
    if (!PyArg_ParseTuple(arguments, "nn", &count, &most))
        return NULL;
    if (count < 1 || count > 1000000 || most < 0) {
        PyErr_SetString(PyExc_ValueError, "expected a count of 1 to 1,000,000, and no negative size");
        return NULL;
    }
    Batch batch = {.messages = malloc((size_t)count * sizeof(Message *))};
    if (!batch.messages)
        return PyErr_NoMemory();
    int is_open, is_sorted = 1;
    Py_BEGIN_ALLOW_THREADS
    pthread_mutex_lock(&link->lock);
    is_open = link->records != NULL;
    if (is_open)
        batch.count = rdkafka.consume_batch_queue(link->records, 0, batch.messages, (size_t)count);
    pthread_mutex_unlock(&link->lock);
    if (batch.count < 0)
        batch.count = 0;
    if (batch.count && (is_sorted = batch_sort(&batch)))
        batch_stash(&batch, (size_t)most);
    Py_END_ALLOW_THREADS
    PyObject *runs = NULL, *errors = NULL, *taken = NULL;
    if (!is_open)
        closed();
    else if (!is_sorted)
        PyErr_NoMemory();
    else if ((runs = runs_of(&batch, (size_t)most)) && (errors = errors_of(&batch)))
        taken = PyTuple_Pack(2, runs, errors);
    if (batch.count) {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t at = 0; taken && at < batch.runs_count; at++)
            if (batch.runs[at].packed)
                pack(batch.runs + at);
        batch_destroy_messages(&batch);
        Py_END_ALLOW_THREADS
    }
    Py_XDECREF(runs);
    Py_XDECREF(errors);
    batch_free(&batch);
    return taken;
}

PyDoc_STRVAR(forward_doc, "forward(topic, partition, /)\n--\n\nHave the records of this partition come here.");

static PyObject *intake_forward(PyObject *self, PyObject *arguments) {
    Link *link = ((Intake *)self)->link;
    const char *topic;
    int partition, is_open;
    if (!PyArg_ParseTuple(arguments, "si", &topic, &partition))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    pthread_mutex_lock(&link->lock);
    is_open = link->records != NULL;
    Queue *queue = is_open ? rdkafka.queue_get_partition(link->client, topic, partition) : NULL;
    if (queue) {
        rdkafka.queue_forward(queue, link->records);
        rdkafka.queue_destroy(queue);
    }
    pthread_mutex_unlock(&link->lock);
    Py_END_ALLOW_THREADS
    if (!is_open)
        return closed();
    Py_RETURN_NONE;
}

PyDoc_STRVAR(wait_doc, "wait(seconds, /)\n--\n\nWait until there may be something in one of both queues.");

static PyObject *intake_wait(PyObject *self, PyObject *arguments) {
    Link *link = ((Intake *)self)->link;
    double seconds;
    if (!PyArg_ParseTuple(arguments, "d", &seconds))
        return NULL;
    int milliseconds = seconds > 1e6 ? 1000000000 : seconds > 0 ? (int)(seconds * 1000 + 0.999) : 0;
    struct pollfd woken = {.fd = link->records ? link->woken[0] : -1, .events = POLLIN};
    int found;
    if (woken.fd < 0)
        return closed();
    Py_BEGIN_ALLOW_THREADS
    found = poll(&woken, 1, milliseconds);
    char some[64];
    if (found > 0 && woken.revents & POLLIN)
        while (read(woken.fd, some, sizeof some) == (ssize_t)sizeof some)
            ;
    Py_END_ALLOW_THREADS
    if (found < 0 && errno != EINTR)
        return PyErr_SetFromErrno(PyExc_OSError);
    if (PyErr_CheckSignals())
        return NULL;
    return PyBool_FromLong(found > 0);
}

static void intake_dealloc(PyObject *self) {
    Link *link = ((Intake *)self)->link;
    PyTypeObject *type = Py_TYPE(self);
    if (link) {
        link_close(link);
        link_drop(link);
    }
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyMethodDef intake_methods[] = {
    {"take", intake_take, METH_VARARGS, take_doc},
    {"forward", intake_forward, METH_VARARGS, forward_doc},
    {"wait", intake_wait, METH_VARARGS, wait_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot intake_slots[] = {
    {Py_tp_methods, intake_methods},
    {Py_tp_dealloc, intake_dealloc},
    {0, NULL},
};

static PyType_Spec intake_spec = {
    .name = "streamzarr.queue.kafka._intake.Intake",
    .basicsize = sizeof(Intake),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = intake_slots,
};

/* ------------------------------------------------------------ the module */

static PyTypeObject *intake_type;

static int pipe_open(int ends[2]) {
    if (pipe(ends) < 0)
        return 0;
    for (int at = 0; at < 2; at++) {
        fcntl(ends[at], F_SETFD, FD_CLOEXEC);
        fcntl(ends[at], F_SETFL, O_NONBLOCK);
    }
    return 1;
}

PyDoc_STRVAR(claim_doc, "claim()\n--\n\nReturn the intake of the consumer that this thread has just made.");

static PyObject *claim(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    if (!newest)
        Py_RETURN_NONE;
    allocfunc allocate = (allocfunc)PyType_GetSlot(intake_type, Py_tp_alloc);
    Intake *intake = (Intake *)allocate(intake_type, 0);
    if (!intake)
        return NULL;
    Link *link = intake->link = newest;
    newest = NULL;
    pthread_mutex_lock(&link->lock);
    if (link->client && pipe_open(link->woken)) { /* neither gone already, nor too many open files */
        link->records = rdkafka.queue_new(link->client);
        link->events = rdkafka.queue_get_consumer(link->client);
        rdkafka.queue_io_event_enable(link->records, link->woken[1], "1", 1);
        rdkafka.queue_io_event_enable(link->events, link->woken[1], "1", 1);
    }
    int is_open = link->records != NULL;
    pthread_mutex_unlock(&link->lock);
    if (is_open)
        return (PyObject *)intake;
    Py_DECREF(intake);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"claim", claim, METH_NOARGS, claim_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "streamzarr.queue.kafka._intake",
    .m_doc = "Records out of librdkafka by columns.",
    .m_size = -1,
    .m_methods = functions,
};

enum { INTERFACE = 1 }; /* what clients.py expects; one more whenever what is above changes for Python */

PyMODINIT_FUNC PyInit__intake(void) {
    PyObject *module = PyModule_Create(&definition);
    if (module && !intake_type)
        intake_type = (PyTypeObject *)PyType_FromSpec(&intake_spec);
    if (module && (!intake_type || PyModule_AddIntConstant(module, "INTERFACE", INTERFACE) < 0))
        Py_CLEAR(module);
    return module;
}
