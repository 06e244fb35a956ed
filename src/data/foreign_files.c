/* SPDX-License-Identifier: MIT */
#include "foreign_files.h"
#include "base/json.h"
#include "folder.h"

#include <string.h>

#define PYTHON "python3 -c "
#define TORCH_REMEDY                                                                                                           \
    "if it holds one tensor, this makes data of it: " PYTHON                                                                   \
    "'import sys, torch, safetensors.torch as s; s.save_file({\"activations\": torch.load(sys.argv[1], map_location=\"cpu\")." \
    "contiguous()}, sys.argv[2])' FILE.pt FILE.safetensors"

static const struct hsae_foreign_file empty = {"an empty file, of 0 bytes", "fetch or write it again", false};
static const struct hsae_foreign_file torch_file = {"a PyTorch file", TORCH_REMEDY, true};
static const struct hsae_foreign_file numpy_archive = {
    "a NumPy archive (.npz)",
    "this takes one array out: " PYTHON "'import sys, numpy; numpy.save(sys.argv[3], numpy.load(sys.argv[1])[sys.argv[2]])' FILE.npz "
    "ARRAY FILE.npy",
    true};
static const struct hsae_foreign_file zip = {"a zip archive", "unpack it with `unzip` and give what it holds", true};
static const struct hsae_foreign_file tar = {"a tar archive", "unpack it with `tar -xf` and give what it holds", true};
static const struct hsae_foreign_file pickle = {
    "a Python pickle", "load it in Python and write its array with numpy.save, or its tensor with safetensors.torch.save_file", true};
static const struct hsae_foreign_file page = {"a web page (HTML), not the file that was to be downloaded",
                                              "download it again, from the address of the file itself and logged in where that is needed",
                                              false};
static const struct hsae_foreign_file json = {
    "JSON text", "it describes a run or data, and holds neither weights nor vectors: give the model itself, or the files of the vectors",
    false};
#define TABLE_REMEDY                                      \
    "if it holds numbers, this makes data of it: " PYTHON \
    "'import sys, numpy; numpy.save(sys.argv[2], numpy.loadtxt(sys.argv[1], dtype=\"float32\", delimiter=\",\"))' FILE.csv FILE.npy"
static const struct hsae_foreign_file text = {"plain text", TABLE_REMEDY, false};
static const struct hsae_foreign_file table = {"a table in plain text", TABLE_REMEDY, true};

/* Files that begin with bytes of their own. */
static const struct {
    const char *bytes;
    size_t size;
    struct hsae_foreign_file file;
} marks[] = {
    {"version https://git-lfs.github.com/spec/",
     40,
     {"a Git LFS pointer, which stands for a file that is not here", "fetch the file itself with `git lfs pull` in its repository", true}},
    {"PAR1",
     4,
     {"a Parquet file",
      "this makes data of it: " PYTHON
      "'import sys, pyarrow.feather as f, pyarrow.parquet as p; f.write_feather(p.read_table(sys.argv[1]), sys.argv[2], "
      "compression=\"uncompressed\")' FILE.parquet FILE.arrow",
      true}},
    {"\x89HDF\r\n\x1a\n",
     8,
     {"an HDF5 file",
      "this takes one of its arrays out: " PYTHON
      "'import sys, h5py, numpy; numpy.save(sys.argv[3], h5py.File(sys.argv[1])[sys.argv[2]][...])' FILE.h5 ARRAY FILE.npy",
      true}},
    {"GGUF", 4, {"a GGUF file, which holds a language model", "collect_activations.py --model takes it and writes its activations", false}},
    {"\x1f\x8b\x08", 3, {"compressed with gzip", "unpack it with `gunzip`", true}},
    {"\x28\xb5\x2f\xfd", 4, {"compressed with Zstandard", "unpack it with `unzstd`", true}},
    {"\xfd"
     "7zXZ\0",
     6,
     {"compressed with xz", "unpack it with `unxz`", true}},
    {"BZh", 3, {"compressed with bzip2", "unpack it with `bunzip2`", true}},
    {"\x04\x22\x4d\x18", 4, {"compressed with LZ4", "unpack it with `unlz4`", true}},
    {"7z\xbc\xaf\x27\x1c", 6, {"a 7z archive", "unpack it with `7z x` and give what it holds", true}},
    /* the number with which torch.save began before it wrote zip archives */
    {"\x80\x02\x8a\x0al\xfc\x9c\x46\xf9", 9, {"a PyTorch file", TORCH_REMEDY, true}},
};

/* By the name of its first member. */
static const struct hsae_foreign_file *kind_of_zip(const char *name, const unsigned char *start, size_t size)
{
    size_t length = size > 30 ? start[26] + 256 * (size_t)start[27] : 0;
    const char *member = (const char *)start + 30;
    if (length > size - 30)
        length = 0;
    if (length >= 9 && memcmp(member + length - 9, "/data.pkl", 9) == 0)
        return &torch_file;
    if (length >= 4 && memcmp(member + length - 4, ".npy", 4) == 0)
        return &numpy_archive;
    if (hsae_ends_with(name, ".npz"))
        return &numpy_archive;
    return hsae_ends_with(name, ".pt") || hsae_ends_with(name, ".pth") || hsae_ends_with(name, ".ckpt") ? &torch_file : &zip;
}

static bool begins(const unsigned char *at, size_t size, const char *wanted)
{
    size_t length = strlen(wanted);
    for (size_t i = 0; i < length; i++)
        if (i == size || (at[i] | (at[i] >= 'A' && at[i] <= 'Z' ? 0x20 : 0)) != (unsigned char)wanted[i])
            return false;
    return true;
}

/* Whether these bytes are lines of UTF-8; a character that is cut at the end is no fault. */
static bool is_text(const unsigned char *at, size_t size)
{
    for (size_t i = 0, length; i < size; i += length) {
        length = hsae_utf8_size((const char *)at + i, size - i);
        if (!length)
            return at[i] >= 0xc2 && size - i < 4 && i > 0;
        if (at[i] < ' ' && at[i] != '\n' && at[i] != '\r' && at[i] != '\t' && at[i] != '\f')
            return false;
    }
    return true;
}

static const struct hsae_foreign_file *kind_of_text(const char *name, const unsigned char *start, size_t size)
{
    if (!is_text(start, size))
        return NULL;
    if (size >= 3 && memcmp(start, "\xef\xbb\xbf", 3) == 0) {
        start += 3;
        size -= 3;
    }
    while (size && (*start == ' ' || *start == '\n' || *start == '\r' || *start == '\t')) {
        start++;
        size--;
    }
    if (begins(start, size, "<!doctype html") || begins(start, size, "<html") || begins(start, size, "<head"))
        return &page;
    if (size && (*start == '{' || *start == '['))
        return &json;
    return hsae_ends_with(name, ".csv") || hsae_ends_with(name, ".tsv") ? &table : &text;
}

const struct hsae_foreign_file *hsae_foreign_file(const char *name, const unsigned char *start, size_t size, bool may_be_raw)
{
    if (size == 0)
        return &empty;
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (size >= marks[i].size && memcmp(start, marks[i].bytes, marks[i].size) == 0 && (!may_be_raw || marks[i].size > 3))
            return &marks[i].file;
    if (size >= 4 && memcmp(start, "PK\3\4", 4) == 0)
        return kind_of_zip(name, start, size);
    if (size >= 262 && memcmp(start + 257, "ustar", 5) == 0)
        return &tar;
    if (!may_be_raw && size >= 2 && start[0] == 0x80 && start[1] >= 2 && start[1] <= 5 &&
        (hsae_ends_with(name, ".pkl") || hsae_ends_with(name, ".pickle") || hsae_ends_with(name, ".pt") || hsae_ends_with(name, ".pth")))
        return &pickle;
    return may_be_raw && size < 64 ? NULL : kind_of_text(name, start, size);
}

hsae_status hsae_refuse_foreign(const struct hsae_file *file, const char *expected)
{
    unsigned char head[HSAE_FOREIGN_BYTES];
    size_t size;
    hsae_status status = hsae_file_head(file, sizeof head, head, &size);
    const struct hsae_foreign_file *foreign = status ? NULL : hsae_foreign_file(file->path, head, size, false);
    return foreign
               ? hsae_fail(file->context, HSAE_ERROR_FORMAT, "%s: not %s, but %s; %s", file->path, expected, foreign->what, foreign->remedy)
               : status;
}
