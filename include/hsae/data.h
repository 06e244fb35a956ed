/* SPDX-License-Identifier: MIT */
/* Data sets: activation vectors in files, read by row. */
#ifndef HSAE_DATA_H
#define HSAE_DATA_H

#include <hsae/status.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How the rows lie in the files. */
typedef enum hsae_dtype { HSAE_DTYPE_F32, HSAE_DTYPE_F16, HSAE_DTYPE_BF16 } hsae_dtype;

/* Of a file, the content tells the format, not the name:
 *   safetensors   a tensor [vectors, d] or [sequences, context, d] of F32, F16 or BF16
 *   npy           the same of '<f4' or '<f2', in C order
 *   Arrow         IPC stream or file, not compressed: a column of vectors, list<float>, or of sequences, list<list<float>>, of float or
 *                 halffloat; all sequences of one length, nothing null
 *   raw           numbers only, little endian, row by row; read only where `dim` is given
 * Of a folder: what HuggingFace datasets saved (the Arrow files that its state.json lists, in that order; so SAELens' activation caches),
 * or else all data files in natural order, in which runs of digits are numbers: shard_2 comes before shard_10. Earlier
 * versions took the order of bytes, which differs where numbers have different lengths. Raw files of a folder are those named .bin or .raw.
 *
 * Not data: what hsae itself wrote (models, checkpoints, features, trees). Of a folder such files are left out and named at level INFO, as
 * are folders of runs within it; data in other folders within it, files of other tools (Parquet, PyTorch ...) and downloads that are not
 * whole (.part, .incomplete ...) are named in a warning. Errors: a file of NAME-00003-of-00004.EXTENSION that is missing, a link that leads
 * nowhere, a file named .safetensors, .npy or .arrow that is something else (a Git LFS pointer, a web page, an empty file ...). */
typedef struct hsae_dataset_params {
    const char *const *paths; /* files or folders; all of one width d */
    size_t path_count;        /* >= 1 */
    const char *tensor;       /* safetensors: the tensor to read; Arrow: the column; NULL: the only one that fits; several: ERROR_FORMAT */
    uint32_t dim;             /* raw files: numbers of a vector; other files must have the same; 0: there are no raw files */
    hsae_dtype dtype;         /* raw files: of their numbers */
} hsae_dataset_params;

/* Immutable after opening: any number of threads may read it. Files stay open, each with a descriptor of its own (`ulimit -n`), and must
 * not change meanwhile; a row of a file that was cut is ERROR_FILE once it is to be read. */
typedef struct hsae_dataset hsae_dataset;

/* Reads headers only. ERROR_FILE, ERROR_FORMAT, ERROR_DATA (no rows; files of different formats and dtypes mix freely, widths may not). */
HSAE_API hsae_status hsae_dataset_open(hsae_context *context, const hsae_dataset_params *params, hsae_dataset **out);
/* Rows first .. first + count - 1 of `dataset` as a data set of its own; keeps what it needs of `dataset` alive. count >= 1. */
HSAE_API hsae_status hsae_dataset_slice(hsae_dataset *dataset, uint64_t first, uint64_t count, hsae_dataset **out);
/* Sets *dataset to NULL; takes NULL. */
HSAE_API void hsae_dataset_close(hsae_dataset **dataset);

HSAE_API uint64_t hsae_dataset_rows(const hsae_dataset *dataset);
HSAE_API uint32_t hsae_dataset_dim(const hsae_dataset *dataset);

/* A tensor of a safetensors file, or a column of an Arrow file. */
typedef struct hsae_data_part {
    const char *name;
    const char *type; /* "F16 [1000, 128, 2304]", "list<list<halffloat>>" */
} hsae_data_part;

typedef struct hsae_data_file {
    const char *path;
    const char *format; /* "safetensors", "npy", "arrow", "raw" */
    const char *tensor; /* the part that is read; NULL: the format has no names */
    hsae_dtype dtype;
    uint32_t dim;
    uint64_t rows;               /* vectors */
    uint64_t sequences, context; /* where the file tells sequences apart; 0: it does not */
    uint64_t bytes;              /* of the file */
    size_t part_count;
    const hsae_data_part *parts; /* all parts, also those that are not read */
} hsae_data_file;

/* The files of the whole data set in their order, of a slice too; pointers live as long as the data set. */
HSAE_API size_t hsae_dataset_file_count(const hsae_dataset *dataset);
HSAE_API const hsae_data_file *hsae_dataset_file(const hsae_dataset *dataset, size_t index);

/* rows[i] (i < count), converted to float, at out + i * d. A value that is not finite: ERROR_DATA with file and row. ERROR_FILE. Where they
 * are neighbours in rising order the disk begins at once with as many behind them, so reading on from there hardly waits. */
HSAE_API hsae_status hsae_dataset_read(const hsae_dataset *dataset, const uint64_t *rows, size_t count, float *out);
/* The same, and values that are not finite come as they are. */
HSAE_API hsae_status hsae_dataset_read_any(const hsae_dataset *dataset, const uint64_t *rows, size_t count, float *out);
/* The file that holds a row of the data set (row < hsae_dataset_rows), and the row's number in that file, counted from 0. */
HSAE_API const hsae_data_file *hsae_dataset_place(const hsae_dataset *dataset, uint64_t row, uint64_t *file_row);

/* Rows that the rule of a configuration (max_norm, norm_limit, skip_bad_rows) left out of a calculation. */
typedef struct hsae_left_out {
    uint64_t rows;  /* rows that were looked at, those that were left out included */
    uint64_t norm;  /* left out: the norm is above norm_limit */
    uint64_t bad;   /* left out: a value is not finite */
    uint64_t first; /* the first row that was left out, as a row of the data set; 0 where there is none */
} hsae_left_out;
/* "9 of 98,304 rows left out (norm above 1,533; first: FILE row 17)" to text [size]. `dataset` names the file; NULL: rows without a file.
 */
HSAE_API void hsae_left_out_text(const hsae_left_out *left_out, double norm_limit, const hsae_dataset *dataset, char *text, size_t size);
/* The norm_limit that a trainer finds in these data: max_norm times the median of the norms of the first min(65536, all) rows, without rows
 * of zeros; 0 where max_norm is 0. ERROR_DATA: one of these rows is not finite, unless skip_bad_rows leaves it out. */
HSAE_API hsae_status hsae_dataset_norm_limit(const hsae_dataset *dataset, double max_norm, bool skip_bad_rows, double *out);

/* Called between batches; false stops with CANCELLED. */
typedef bool (*hsae_progress_fn)(void *user, uint64_t done, uint64_t total);

#define HSAE_CHECK_LISTED 8 /* constant columns that are named */

/* What hsae_dataset_check found. Rows are rows of the data set; a `first_...` means nothing where its count is 0. Norms are Euclidean, raw
 * units, of all finite rows that are not zero; NaN where there is none. Of an even number of rows the median is the mean of the two in the
 * middle; the share s of n norms in rising order is number floor(s (n - 1)). */
typedef struct hsae_data_check {
    uint64_t rows;
    double least, percent_1, median, percent_99, largest; /* norms */
    uint64_t far, first_far;                              /* rows with a norm above 10 times the median */
    uint64_t bad, first_bad;                              /* rows with a value that is not finite */
    uint64_t zeros, first_zero;                           /* rows of zeros */
    uint64_t duplicates;                      /* rows that are equal to an earlier one, bit by bit as floats; finite ones only */
    uint64_t first_duplicate, first_original; /* the first of these, and the first row that it is equal to */
    uint32_t constant_columns;                /* columns with one value in all finite rows; 0 where fewer than two are */
    uint32_t constant[HSAE_CHECK_LISTED];     /* the first of them */
} hsae_data_check;

/* Reads the whole data set once, and where there are duplicates its beginning again. Takes 12 bytes of memory a row, and a row of floats
 * and flags. Duplicates are found by hashes of 64 bits. `progress` may be NULL. ERROR_FILE, ERROR_MEMORY, CANCELLED. */
HSAE_API hsae_status hsae_dataset_check(const hsae_dataset *dataset, hsae_progress_fn progress, void *user, hsae_data_check *out);

/* Tells data sets apart without reading all of them: *out is 64-bit FNV-1a over rows, width and dtype, then the bytes of some rows as they
 * lie in their files. All rows are taken where they have 1 MiB or less; else as many as 1 MiB holds, but 64 at least, spread evenly from
 * the first row to the last. So the same rows in the same order give the same number on every machine, whatever files they are in; other
 * rows, another order or another dtype give another, unless they differ in rows that are not taken only. Of a slice, its own rows count.
 * Any thread. ERROR_FILE: a row cannot be read. ERROR_MEMORY. ERROR_ARGUMENT: a pointer is NULL. */
HSAE_API hsae_status hsae_dataset_fingerprint(const hsae_dataset *dataset, uint64_t *out);

#ifdef __cplusplus
}
#endif
#endif
