/* SPDX-License-Identifier: MIT */
#include "arrow.h"
#include "base/json.h"
#include "flat.h"
#include "folder.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Limits of a schema. A small hostile buffer can claim very many fields. */
enum { MAX_FIELDS = 4096, MAX_NAME = 1024, MAX_DEPTH = 16, MAX_LISTS = 2 };

/* Bytes of the longest message without its body, and of the pieces in which a body is checked. */
enum { MAX_MESSAGE = 64 << 20, BLOCK = 1 << 15 };

static const char file_magic[6] = "ARROW1";

/* Schema.fbs, Message.fbs */
enum { HEADER_SCHEMA = 1, HEADER_BATCH = 3 };
enum { TYPE_FLOAT = 3, TYPE_LIST = 12, TYPE_FIXED_LIST = 16, TYPE_LARGE_LIST = 21 };
enum { MESSAGE_VERSION, MESSAGE_TYPE, MESSAGE_HEADER, MESSAGE_BODY };
enum { SCHEMA_ENDIANNESS, SCHEMA_FIELDS };
enum { FIELD_NAME, FIELD_TYPE = 2, FIELD_TYPE_TABLE, FIELD_DICTIONARY, FIELD_CHILDREN };
enum { BATCH_LENGTH, BATCH_NODES, BATCH_BUFFERS, BATCH_COMPRESSION };
enum { VERSION_4 = 3, VERSION_5 = 4 };

/* For each type its name, and the number of buffers of its arrays, without those of its children (-1: not fixed). */
static const struct {
    const char *name;
    int buffers;
} types[] = {
    {"none", -1},    {"null", 0},         {"int", 2},        {"float", 2},        {"binary", 3},     {"utf8", 3},
    {"bool", 2},     {"decimal", 2},      {"date", 2},       {"time", 2},         {"timestamp", 2},  {"interval", 2},
    {"list", 2},     {"struct", 1},       {"union", -1},     {"fixed_binary", 2}, {"fixed_list", 1}, {"map", 2},
    {"duration", 2}, {"large_binary", 3}, {"large_utf8", 3}, {"large_list", 2},
};

/* The column that is read. */
struct layout {
    uint64_t node, buffer; /* its first ones in a record batch */
    uint32_t lists;
    int kind[MAX_LISTS];      /* outermost first */
    uint64_t size[MAX_LISTS]; /* of a fixed list; of the others once known */
    bool known[MAX_LISTS];
    bool half;
};

struct stream {
    const struct hsae_file *file;
    const hsae_context *context; /* this and the path: the file's */
    const char *path, *column;
    struct hsae_arrow *arrow;
    struct layout layout;
    bool found, lost; /* lost: the buffers of later columns cannot be counted */
    uint64_t nodes, buffers;
};

/* One record batch: its place in the file, and its tables. */
struct batch {
    struct hsae_flat flat;
    uint64_t body, body_size; /* body: in the file */
    struct hsae_flat_vector nodes, buffers;
};

bool hsae_arrow_is(const unsigned char *head, size_t size)
{
    if (size >= 8 && memcmp(head, file_magic, sizeof file_magic) == 0)
        return true;
    return size >= 8 && hsae_load32(head) == UINT32_MAX && (int32_t)hsae_load32(head + 4) > 0;
}

void hsae_arrow_free(struct hsae_arrow *arrow)
{
    for (size_t i = 0; i < arrow->column_count; i++)
        free(arrow->columns[i].name);
    free(arrow->columns);
    free(arrow->batches);
    *arrow = (struct hsae_arrow){0};
}

static hsae_status damaged(const struct stream *stream, const char *what)
{
    return hsae_fail(stream->context, HSAE_ERROR_FORMAT, "%s: a damaged Arrow file: %s; fetch or write it again", stream->path, what);
}

static hsae_status out_of_memory(const struct stream *stream)
{
    return hsae_fail(stream->context, HSAE_ERROR_MEMORY, "%s: out of memory", stream->path);
}

/* ---- schema ---- */

/* Counts the field's nodes and buffers, and those of all below it. */
static void count_field(struct stream *stream, struct hsae_flat *flat, const struct hsae_flat_table *field, uint32_t depth)
{
    struct hsae_flat_table dictionary;
    int64_t type = hsae_flat_int(flat, field, FIELD_TYPE, 1);
    bool indexed = hsae_flat_child(flat, field, FIELD_DICTIONARY, &dictionary);
    if (depth > MAX_DEPTH || ++stream->nodes > MAX_FIELDS)
        flat->broken = true;
    if (type >= (int64_t)(sizeof types / sizeof *types) || types[type].buffers < 0)
        stream->lost = true;
    else
        stream->buffers += indexed ? 2 : (uint64_t)types[type].buffers;
    struct hsae_flat_vector children = hsae_flat_vector(flat, field, FIELD_CHILDREN, 4);
    for (uint64_t i = 0; !indexed && i < children.count && !flat->broken; i++) {
        struct hsae_flat_table child = hsae_flat_table_at(flat, hsae_flat_follow(flat, children.at + 4 * i));
        count_field(stream, flat, &child, depth + 1);
    }
}

/* Writes the type in words. True: it is a type of vectors, which *layout then describes. */
static bool read_type(struct hsae_flat *flat, struct hsae_flat_table field, struct layout *layout, char *text, size_t size)
{
    size_t used = 0;
    struct hsae_flat_table parameters, dictionary;
    for (uint32_t depth = 0; !flat->broken && used + 32 < size; depth++) {
        int64_t type = hsae_flat_int(flat, &field, FIELD_TYPE, 1);
        struct hsae_flat_vector children = hsae_flat_vector(flat, &field, FIELD_CHILDREN, 4);
        bool list = type == TYPE_LIST || type == TYPE_FIXED_LIST || type == TYPE_LARGE_LIST, leaf = !list || children.count != 1;
        const char *name = type < (int64_t)(sizeof types / sizeof *types) ? types[type].name : "unknown";
        bool indexed = hsae_flat_child(flat, &field, FIELD_DICTIONARY, &dictionary);
        hsae_flat_child(flat, &field, FIELD_TYPE_TABLE, &parameters);
        int64_t precision = type == TYPE_FLOAT ? hsae_flat_int(flat, &parameters, 0, 2) : -1;
        if (type == TYPE_FLOAT)
            name = precision == 0 ? "halffloat" : precision == 1 ? "float" : "double";
        used += (size_t)snprintf(text + used, size - used, "%s%s%s", indexed ? "dictionary of " : "", name, leaf ? "" : "<");
        if (leaf || indexed) {
            for (uint32_t i = 0; i < depth && used + 1 < size; i++)
                used += (size_t)snprintf(text + used, size - used, ">");
            layout->half = precision == 0;
            return !indexed && leaf && (precision == 0 || precision == 1) && layout->lists == depth && depth > 0;
        }
        int64_t length = type == TYPE_FIXED_LIST ? hsae_flat_int(flat, &parameters, 0, 4) : 0;
        if (depth < MAX_LISTS && length >= 0) {
            layout->kind[depth] = (int)type;
            layout->size[depth] = (uint64_t)length;
            layout->known[depth] = type == TYPE_FIXED_LIST;
            layout->lists = depth + 1;
        }
        field = hsae_flat_table_at(flat, hsae_flat_follow(flat, children.at));
    }
    return false;
}

static hsae_status read_schema(struct stream *stream, struct hsae_flat *flat, const struct hsae_flat_table *schema)
{
    struct hsae_arrow *arrow = stream->arrow;
    struct hsae_flat_vector fields = hsae_flat_vector(flat, schema, SCHEMA_FIELDS, 4);
    struct hsae_name_list fitting = {0};
    bool named = false;
    if (hsae_flat_int(flat, schema, SCHEMA_ENDIANNESS, 2) != 0)
        return hsae_fail(stream->context, HSAE_ERROR_FORMAT, "%s: big-endian Arrow data; write it on a little-endian machine",
                         stream->path);
    if (fields.count > MAX_FIELDS)
        return damaged(stream, "its schema has more fields than any");
    arrow->columns = calloc((size_t)fields.count + 1, sizeof *arrow->columns);
    if (!arrow->columns)
        return out_of_memory(stream);
    for (uint64_t i = 0; i < fields.count && !flat->broken; i++) {
        struct layout layout = {.node = stream->nodes, .buffer = stream->buffers};
        struct hsae_arrow_column *column = &arrow->columns[arrow->column_count];
        struct hsae_flat_table field = hsae_flat_table_at(flat, hsae_flat_follow(flat, fields.at + 4 * i));
        struct hsae_flat_vector name = hsae_flat_vector(flat, &field, FIELD_NAME, 1);
        if (name.count > MAX_NAME)
            return damaged(stream, "the name of a column is longer than any");
        if (name.at && !hsae_is_utf8((const char *)flat->data + name.at, (size_t)name.count))
            return damaged(stream, "the name of a column is not UTF-8");
        size_t length = name.at ? (size_t)name.count : 0;
        column->name = calloc(length + 1, 1);
        if (!column->name)
            return out_of_memory(stream);
        memcpy(column->name, flat->data + name.at, length);
        arrow->column_count++;
        bool fits = read_type(flat, field, &layout, column->type, sizeof column->type), lost = stream->lost;
        bool wanted = !stream->column || (!stream->found && strcmp(stream->column, column->name) == 0);
        count_field(stream, flat, &field, 0);
        named |= wanted;
        if (!wanted || !fits || flat->broken)
            continue;
        if (lost && !stream->found)
            return hsae_fail(stream->context, HSAE_ERROR_FORMAT,
                             "%s: column \"%s\" comes after a column of a type that is not read; write the file without that one",
                             stream->path, column->name);
        hsae_name_list_add(&fitting, column->name, column->type);
        if (stream->found)
            continue;
        stream->found = true;
        stream->layout = layout;
        arrow->chosen = (size_t)i;
        arrow->dtype = layout.half ? HSAE_DTYPE_F16 : HSAE_DTYPE_F32;
    }
    if (flat->broken)
        return damaged(stream, "its schema points outside itself");
    if (fitting.count > 1)
        return hsae_fail(stream->context, HSAE_ERROR_FORMAT,
                         "%s: %zu of its columns can hold activation vectors: %s; choose one with --tensor NAME", stream->path,
                         fitting.count, hsae_name_list_end(&fitting));
    if (stream->found)
        return HSAE_OK;
    const struct hsae_arrow_column *first = arrow->columns;
    for (size_t i = 0; named && stream->column && strcmp(first->name, stream->column) != 0; i++)
        first++;
    if (stream->column && !named)
        return hsae_fail(stream->context, HSAE_ERROR_FORMAT,
                         "%s: there is no column \"%s\" among its %zu, of which the first is \"%s\"; \"hsae info\" lists them",
                         stream->path, stream->column, arrow->column_count, arrow->column_count ? first->name : "");
    return hsae_fail(stream->context, HSAE_ERROR_FORMAT,
                     "%s: %s is \"%s\", %s; list<float> or list<list<float>> of float or halffloat is read: cast it%s", stream->path,
                     stream->column ? "the column" : "none of its columns fits; the first", arrow->column_count ? first->name : "",
                     arrow->column_count ? first->type : "none", stream->column ? ", or name another" : "");
}

/* ---- record batches ---- */

static uint64_t rows_so_far(const struct stream *stream)
{
    return stream->arrow->sequences;
}

/* The place of a buffer in the file; false: it reaches outside. */
static bool find_buffer(const struct batch *batch, uint64_t index, uint64_t *place, uint64_t *size)
{
    if (index >= batch->buffers.count)
        return false;
    const unsigned char *entry = batch->flat.data + batch->buffers.at + 16 * index;
    uint64_t offset = hsae_load64(entry);
    *size = hsae_load64(entry + 8);
    if (offset > batch->body_size || *size > batch->body_size - offset)
        return false;
    *place = batch->body + offset;
    return true;
}

/* Checks that elements first .. first + count - 1 of this node exist and that none is null. `share`: elements per row of the column. */
static hsae_status check_node(const struct stream *stream, const struct batch *batch, uint64_t node, uint64_t buffer, uint64_t first,
                              uint64_t count, uint64_t share)
{
    uint64_t place, size, end;
    if (node >= batch->nodes.count)
        return damaged(stream, "a record batch has fewer arrays than its schema");
    const unsigned char *entry = batch->flat.data + batch->nodes.at + 16 * node;
    if (__builtin_add_overflow(first, count, &end) || end > hsae_load64(entry) || end > INT64_MAX)
        return damaged(stream, "an array is shorter than its lists need");
    if (!find_buffer(batch, buffer, &place, &size))
        return damaged(stream, "a buffer lies outside its record batch");
    if (hsae_load64(entry + 8) == 0)
        return HSAE_OK;
    if (size < end / 8 + (end % 8 != 0))
        return damaged(stream, "a validity bitmap is shorter than its array");
    unsigned char bits[1024];
    for (uint64_t i = first; i < end; i++) {
        uint64_t byte = i / 8, last = (end - 1) / 8, at = byte % sizeof bits;
        if (i == first || (i % 8 == 0 && at == 0)) {
            uint64_t begin = byte - at, count = last - begin + 1 < sizeof bits ? last - begin + 1 : sizeof bits;
            hsae_status status = hsae_file_read(stream->file, place + begin, (size_t)count, bits);
            if (status)
                return status;
        }
        if (!(bits[at] >> i % 8 & 1))
            return hsae_fail(stream->context, HSAE_ERROR_DATA,
                             "%s: row %" PRIu64 " of column \"%s\" is null or holds a null; drop such rows", stream->path,
                             rows_so_far(stream) + (i - first) / share, stream->arrow->columns[stream->arrow->chosen].name);
    }
    return HSAE_OK;
}

static hsae_status ragged(const struct stream *stream, uint64_t row, uint64_t found, uint64_t expected)
{
    return hsae_fail(stream->context, HSAE_ERROR_DATA,
                     "%s: row %" PRIu64 " of column \"%s\" has a list of %" PRIu64 " where the others have %" PRIu64
                     "; cut or pad them to one length",
                     stream->path, row, stream->arrow->columns[stream->arrow->chosen].name, found, expected);
}

/* From lists first .. first + count - 1 to their elements. */
static hsae_status enter_list(struct stream *stream, const struct batch *batch, uint32_t depth, uint64_t buffer, uint64_t share,
                              uint64_t *first, uint64_t *count)
{
    struct layout *layout = &stream->layout;
    uint64_t place, size, width = layout->kind[depth] == TYPE_LARGE_LIST ? 8 : 4, needed;
    if (!find_buffer(batch, buffer, &place, &size))
        return damaged(stream, "a buffer lies outside its record batch");
    if (*count == 0)
        return HSAE_OK;
    if (__builtin_mul_overflow(*first + *count + 1, width, &needed) || needed > size)
        return damaged(stream, "a list has fewer offsets than elements");
    unsigned char offsets[BLOCK];
    int64_t begin = 0, before = 0;
    for (uint64_t i = 0; i <= *count; i++) {
        size_t slot = (size_t)(i % (sizeof offsets / 8));
        if (slot == 0) {
            uint64_t left = *count + 1 - i, read = left < sizeof offsets / 8 ? left : sizeof offsets / 8;
            hsae_status status = hsae_file_read(stream->file, place + width * (*first + i), (size_t)(read * width), offsets);
            if (status)
                return status;
        }
        const unsigned char *entry = offsets + width * slot;
        int64_t at = width == 8 ? (int64_t)hsae_load64(entry) : (int64_t)(int32_t)hsae_load32(entry);
        if (at < before)
            return damaged(stream, "offsets of a list run backwards");
        if (i && !layout->known[depth]) {
            layout->known[depth] = true;
            layout->size[depth] = (uint64_t)(at - before);
        }
        if (i && (uint64_t)(at - before) != layout->size[depth])
            return ragged(stream, rows_so_far(stream) + (i - 1) / share, (uint64_t)(at - before), layout->size[depth]);
        begin = i ? begin : at;
        before = at;
    }
    *first = (uint64_t)begin;
    *count = (uint64_t)(before - begin);
    return HSAE_OK;
}

static hsae_status add_batch(struct stream *stream, uint64_t offset, uint64_t rows)
{
    struct hsae_arrow *arrow = stream->arrow;
    if (arrow->batch_count == arrow->capacity) {
        size_t capacity = arrow->capacity ? 2 * arrow->capacity : 8;
        struct hsae_arrow_batch *batches = realloc(arrow->batches, capacity * sizeof *batches);
        if (!batches)
            return out_of_memory(stream);
        arrow->batches = batches;
        arrow->capacity = capacity;
    }
    arrow->batches[arrow->batch_count++] = (struct hsae_arrow_batch){offset, rows};
    return HSAE_OK;
}

/* The chosen column of a batch of `rows`. */
static hsae_status read_column(struct stream *stream, const struct batch *batch, uint64_t rows)
{
    struct layout *layout = &stream->layout;
    uint64_t first = 0, count = rows, node = layout->node, buffer = layout->buffer, share = 1, vectors = rows, place, size, needed;
    hsae_status status = HSAE_OK;
    for (uint32_t depth = 0; depth < layout->lists && count; depth++) {
        status = check_node(stream, batch, node++, buffer++, first, count, share);
        if (status)
            return status;
        vectors = count;
        if (layout->kind[depth] != TYPE_FIXED_LIST)
            status = enter_list(stream, batch, depth, buffer++, share, &first, &count);
        else if (__builtin_mul_overflow(first, layout->size[depth], &first) || __builtin_mul_overflow(count, layout->size[depth], &count))
            status = damaged(stream, "its lists are longer than can be");
        if (status)
            return status;
        share *= layout->size[depth]; /* at most count, where there is any */
    }
    if (!count)
        return HSAE_OK;
    status = check_node(stream, batch, node, buffer++, first, count, share);
    if (status)
        return status;
    uint64_t width = layout->half ? 2 : 4;
    if (!find_buffer(batch, buffer, &place, &size) || __builtin_mul_overflow(first + count, width, &needed) || needed > size)
        return damaged(stream, "a record batch has fewer numbers than its lists need");
    return add_batch(stream, place + first * width, vectors);
}

static hsae_status read_batch(struct stream *stream, struct batch *batch, const struct hsae_flat_table *header)
{
    struct hsae_flat_table compression;
    int64_t rows = hsae_flat_int(&batch->flat, header, BATCH_LENGTH, 8);
    batch->nodes = hsae_flat_vector(&batch->flat, header, BATCH_NODES, 16);
    batch->buffers = hsae_flat_vector(&batch->flat, header, BATCH_BUFFERS, 16);
    bool compressed = hsae_flat_child(&batch->flat, header, BATCH_COMPRESSION, &compression);
    if (batch->flat.broken || rows < 0)
        return damaged(stream, "the header of a record batch points outside itself");
    if (compressed)
        return hsae_fail(stream->context, HSAE_ERROR_FORMAT,
                         "%s: its record batches are compressed (%s), which is not read; write it again without compression "
                         "(pyarrow.ipc.IpcWriteOptions(compression=None))",
                         stream->path, hsae_flat_int(&batch->flat, &compression, 0, 1) ? "ZSTD" : "LZ4");
    hsae_status status = rows ? read_column(stream, batch, (uint64_t)rows) : HSAE_OK;
    if (__builtin_add_overflow(stream->arrow->sequences, (uint64_t)rows, &stream->arrow->sequences))
        return damaged(stream, "it announces more rows than can be counted");
    return status;
}

/* ---- messages ---- */

/* Reads the message at `at`, of `size` bytes without its body, to *data; free(). */
static hsae_status load_message(const struct stream *stream, uint64_t at, int64_t size, unsigned char **data)
{
    *data = NULL;
    if (size > MAX_MESSAGE)
        return damaged(stream, "a message has a header of more than 64 MiB");
    *data = malloc((size_t)size);
    if (!*data)
        return out_of_memory(stream);
    hsae_status status = hsae_file_read(stream->file, at, (size_t)size, *data);
    if (status) {
        free(*data);
        *data = NULL;
    }
    return status;
}

/* A message whose header is batch->flat, and whose body begins at batch->body; `left` bytes are there for it. */
static hsae_status parse_message(struct stream *stream, struct batch *batch, uint64_t left)
{
    struct hsae_flat *flat = &batch->flat;
    struct hsae_flat_table message = hsae_flat_table_at(flat, hsae_flat_follow(flat, 0)), header;
    int64_t version = hsae_flat_int(flat, &message, MESSAGE_VERSION, 2), type = hsae_flat_int(flat, &message, MESSAGE_TYPE, 1);
    bool headed = hsae_flat_child(flat, &message, MESSAGE_HEADER, &header);
    int64_t body = hsae_flat_int(flat, &message, MESSAGE_BODY, 8);
    if (flat->broken || !headed || body < 0)
        return damaged(stream, "a message points outside itself");
    if (version != VERSION_4 && version != VERSION_5)
        return hsae_fail(stream->context, HSAE_ERROR_FORMAT,
                         "%s: Arrow metadata of version V%" PRId64 "; V4 and V5 are read: write it again", stream->path, version + 1);
    if ((uint64_t)body > left)
        return hsae_fail(stream->context, HSAE_ERROR_FORMAT,
                         "%s: truncated: a record batch of %" PRId64 " bytes is announced, %" PRIu64 " follow; fetch or write it again",
                         stream->path, body, left);
    batch->body_size = (uint64_t)body;
    if (!stream->arrow->columns)
        return type == HEADER_SCHEMA ? read_schema(stream, flat, &header) : damaged(stream, "it does not begin with a schema");
    return type == HEADER_BATCH ? read_batch(stream, batch, &header) : HSAE_OK; /* dictionaries are skipped */
}

/* The message at *at, and *at after it; *end: there is no further one. */
static hsae_status read_message(struct stream *stream, uint64_t *at, bool *end)
{
    uint64_t left = stream->file->size - *at;
    unsigned char mark[8] = {0}, *data;
    hsae_status status = left < 8 ? HSAE_OK : hsae_file_read(stream->file, *at, 8, mark);
    if (status)
        return status;
    *end = left == 0 || (left >= 8 && hsae_load64(mark) == UINT32_MAX);
    if (*end) {
        if (!left)
            hsae_log(stream->context, HSAE_LOG_WARNING, "%s: this Arrow stream lacks its end mark; it may have been cut", stream->path);
        return HSAE_OK;
    }
    if (left < 8 || hsae_load32(mark) != UINT32_MAX)
        return damaged(stream, "a message does not begin where it should");
    int64_t size = (int32_t)hsae_load32(mark + 4);
    left -= 8;
    if (size <= 0 || (uint64_t)size > left)
        return hsae_fail(stream->context, HSAE_ERROR_FORMAT,
                         "%s: truncated: a message of %" PRId64 " bytes is announced, %" PRIu64 " follow; fetch or write it again",
                         stream->path, size, left);
    status = load_message(stream, *at + 8, size, &data);
    if (status)
        return status;
    struct batch batch = {.flat = {.data = data, .size = (uint64_t)size}, .body = *at + 8 + (uint64_t)size};
    status = parse_message(stream, &batch, left - (uint64_t)size);
    free(data);
    *at = batch.body + batch.body_size;
    return status;
}

/* Whether a file of the file format begins and ends with its marks; one of the stream format has none. */
static hsae_status check_marks(const struct stream *stream, bool *marked)
{
    unsigned char mark[sizeof file_magic];
    hsae_status status = hsae_file_read(stream->file, 0, sizeof mark, mark);
    *marked = !status && memcmp(mark, file_magic, sizeof mark) == 0;
    if (!*marked)
        return status;
    status = hsae_file_read(stream->file, stream->file->size - sizeof mark, sizeof mark, mark);
    return !status && memcmp(mark, file_magic, sizeof mark) != 0 ? damaged(stream, "it is truncated: its end mark is missing") : status;
}

hsae_status hsae_arrow_parse(const struct hsae_file *file, const char *column, struct hsae_arrow *arrow)
{
    const hsae_context *context = file->context;
    struct stream stream = {.file = file, .context = context, .path = file->path, .column = column, .arrow = arrow};
    const struct layout *layout = &stream.layout;
    bool marked, end = false;
    *arrow = (struct hsae_arrow){0};
    hsae_status status = check_marks(&stream, &marked);
    uint64_t at = marked ? 8 : 0;
    while (!status && !end)
        status = read_message(&stream, &at, &end);
    if (!status && !arrow->columns)
        status = damaged(&stream, "it has no schema");
    if (!status) {
        arrow->dim = layout->size[layout->lists - 1];
        arrow->context = layout->lists == 2 ? layout->size[0] : 0;
        if (arrow->sequences && arrow->dim == 0 && layout->known[layout->lists - 1])
            status = hsae_fail(context, HSAE_ERROR_DATA, "%s: the vectors of column \"%s\" have no numbers; name another column",
                               file->path, arrow->columns[arrow->chosen].name);
    }
    if (status)
        hsae_arrow_free(arrow);
    return status;
}
