/* SPDX-License-Identifier: MIT */
/* Data sets: activation vectors in files or in memory, read by row. A data set is any number of files of one width, whose rows are numbered
 * through from 0; it may be larger than memory. The trainer (trainer.h), the evaluation (model.h) and the explorer (explore.h) read it. */
#ifndef HSAE_DATA_H
#define HSAE_DATA_H

#include <hsae/status.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Type of the numbers in a file. */
typedef enum hsae_dtype { HSAE_DTYPE_F32, HSAE_DTYPE_F16, HSAE_DTYPE_BF16 } hsae_dtype;

/* The content of a file tells its format, not the name:
 *   safetensors   a tensor [vectors, d] or [sequences, context, d] of F32, F16 or BF16
 *   npy           the same of '<f4' or '<f2', in C order
 *   Arrow         IPC stream or file, not compressed: a column of vectors, list<float>, or of sequences, list<list<float>>, of float or
 *                 halffloat; all sequences of one length, nothing null
 *   raw           numbers only, little endian, row by row; read only where `dim` is given
 * A folder gives what HuggingFace datasets saved there (the Arrow files that its state.json lists, in that order; so SAELens' activation
 * caches), else all its data files in natural order, in which runs of digits are numbers: shard_2 comes before shard_10. Raw files of a
 * folder are those named .bin or .raw.
 *
 * Not data: what hsae itself wrote (models, checkpoints, features, trees). In a folder such files and folders of runs are left out and
 * named at level INFO. Data in other folders inside, files of other tools (Parquet, PyTorch ...) and unfinished downloads (.part,
 * .incomplete ...) are left out and named in a warning. Errors: a missing file of a set NAME-00003-of-00004.EXTENSION, a link that leads
 * nowhere, and a file named .safetensors, .npy or .arrow that is something else (a Git LFS pointer, a web page, an empty file ...). */
typedef struct hsae_dataset_params {
    const char *const *paths; /* files or folders; all of one width d */
    size_t path_count;        /* >= 1 */
    const char *tensor; /* the tensor (safetensors) or column (Arrow) to read; NULL: the only one that fits, ERROR_FORMAT if several do */
    uint32_t dim;       /* raw files: width of their vectors, which other files must have, too; 0: there are no raw files */
    hsae_dtype dtype;   /* raw files: of their numbers */
} hsae_dataset_params;

/* An open data set. Any number of threads may read it. Files stay open, each with its own descriptor (`ulimit -n`), and must not change
 * meanwhile; reading a row of a file that was cut gives ERROR_FILE. */
typedef struct hsae_dataset hsae_dataset;

/* Opens the files and reads their headers. Formats and dtypes may differ from file to file, widths may not. ERROR_FILE; ERROR_FORMAT;
 * ERROR_DATA: there are no rows, or widths differ. */
HSAE_API hsae_status hsae_dataset_open(hsae_context *context, const hsae_dataset_params *params, hsae_dataset **out);
/* Rows in the caller's memory, [count, dim] of `dtype` without gaps, as a data set; its one file is "rows in memory". They are not copied:
 * they stay where they are and as they are until all that was made of the data set is gone, slices and the trainer of its last run
 * included. ERROR_ARGUMENT: no rows, or no width. */
HSAE_API hsae_status hsae_dataset_from_memory(hsae_context *context, const void *rows, hsae_dtype dtype, uint64_t count, uint32_t dim,
                                              hsae_dataset **out);
/* Rows first .. first + count - 1 of `dataset` as a data set of its own, count >= 1. `dataset` may be closed before it. */
HSAE_API hsae_status hsae_dataset_slice(hsae_dataset *dataset, uint64_t first, uint64_t count, hsae_dataset **out);
/* Sets *dataset to NULL; takes NULL. */
HSAE_API void hsae_dataset_close(hsae_dataset **dataset);

/* Number of vectors, and their width d. */
HSAE_API uint64_t hsae_dataset_rows(const hsae_dataset *dataset);
HSAE_API uint32_t hsae_dataset_dim(const hsae_dataset *dataset);

/* A tensor of a safetensors file, or a column of an Arrow file. */
typedef struct hsae_data_column {
    const char *name;
    const char *type; /* "F16 [1000, 128, 2304]", "list<list<halffloat>>" */
} hsae_data_column;

typedef struct hsae_data_file {
    const char *path;
    const char *format; /* "safetensors", "npy", "arrow", "raw", "memory" */
    const char *tensor; /* name of the column that is read; NULL: the format has no names */
    hsae_dtype dtype;
    uint32_t dim;
    uint64_t rows;               /* vectors */
    uint64_t sequences, context; /* number and length of sequences; 0: the file does not tell them apart */
    uint64_t bytes;              /* of the file */
    size_t column_count;
    const hsae_data_column *columns; /* all columns, also those that are not read */
} hsae_data_file;

/* The files in their order; of a slice, those of the whole data set. index < count. Pointers live as long as the data set. */
HSAE_API size_t hsae_dataset_file_count(const hsae_dataset *dataset);
HSAE_API const hsae_data_file *hsae_dataset_file(const hsae_dataset *dataset, size_t index);

/* Row rows[i] as floats to out + i * d, for i < count: out is [count, d], raw units. ERROR_DATA: a value is not finite; file and row are
 * named. ERROR_FILE. Neighbouring rows in rising order are read ahead: the next call, for the rows after them, hardly waits. Any thread. */
HSAE_API hsae_status hsae_dataset_read(const hsae_dataset *dataset, const uint64_t *rows, size_t count, float *out);
/* The same, but values that are not finite are no error. */
HSAE_API hsae_status hsae_dataset_read_any(const hsae_dataset *dataset, const uint64_t *rows, size_t count, float *out);
/* The file that holds a row of the data set (row < hsae_dataset_rows), and the row's number in that file, counted from 0. */
HSAE_API const hsae_data_file *hsae_dataset_place(const hsae_dataset *dataset, uint64_t row, uint64_t *file_row);

/* Counts of rows that the rule of a configuration (max_norm, norm_limit, skip_bad_rows) left out. */
typedef struct hsae_left_out {
    uint64_t rows;  /* rows that were read, left out or not */
    uint64_t norm;  /* left out: the norm is above norm_limit */
    uint64_t bad;   /* left out: a value is not finite */
    uint64_t first; /* the first row that was left out, as a row of the data set; 0 where there is none */
} hsae_left_out;
/* Writes "9 of 98,304 rows left out (norm above 1,533; first: FILE row 17)" to text [size], cut to fit. `dataset` (may be NULL) names the
 * file. */
HSAE_API void hsae_left_out_text(const hsae_left_out *left_out, double norm_limit, const hsae_dataset *dataset, char *text, size_t size);
/* The norm_limit that a trainer finds in these data, raw units:
 *
 *     norm_limit = max_norm * median of |row| over the first min(65536, all) rows that are not zero
 *
 * but FLT_MAX at most, and 0 where max_norm is 0. ERROR_DATA: one of these rows is not finite; with skip_bad_rows it is left out.
 * ERROR_FILE. */
HSAE_API hsae_status hsae_dataset_norm_limit(const hsae_dataset *dataset, double max_norm, bool skip_bad_rows, double *out);

/* Called between batches with rows done and all rows; false stops with CANCELLED. */
typedef bool (*hsae_progress_fn)(void *user, uint64_t done, uint64_t total);

#define HSAE_CHECK_LISTED 8 /* constant columns that are named */

/* What hsae_dataset_check found. Rows are numbered as in the data set; a `first_...` has no meaning where its count is 0. Norms are
 * Euclidean, in raw units, over all finite rows that are not zero; NaN where there is none. With n norms in rising order, counted from 0,
 * percentile s is number floor(s / 100 (n - 1)); the median of an even n is the mean of the two in the middle. */
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

/* Reads the whole data set once, and its beginning twice where there are duplicates. Takes 12 bytes of memory per row. Duplicates are found
 * by hashes of 64 bits. `progress` may be NULL. ERROR_FILE, ERROR_MEMORY, CANCELLED. Any thread. */
HSAE_API hsae_status hsae_dataset_check(const hsae_dataset *dataset, hsae_progress_fn progress, void *user, hsae_data_check *out);

/* A number that tells data sets apart without reading all of them: *out is 64-bit FNV-1a over rows, width and dtype, then over the bytes of
 * a sample of rows as they are in their files. The sample is all rows if they have 1 MiB or less; else as many as 1 MiB holds, but at least
 * 64, spread evenly from the first row to the last. The same rows in the same order give the same number on every machine, whatever files
 * they are in. Other rows, another order or another dtype give another number, unless only rows outside of the sample differ. For a slice
 * its own rows count. Any thread. ERROR_FILE: a row cannot be read. ERROR_MEMORY. */
HSAE_API hsae_status hsae_dataset_fingerprint(const hsae_dataset *dataset, uint64_t *out);

#ifdef __cplusplus
}
#endif
#endif
