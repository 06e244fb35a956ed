/* SPDX-License-Identifier: MIT */
#include "run_figures.h"

#include "text.h"

#include <math.h>
#include <stdlib.h>

double run_number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

int run_metrics_read(const char *folder, void (*use)(void *user, json_t *line), void *user)
{
    char path[RUN_PATH], *line = NULL;
    size_t capacity = 0;
    double last = 0;
    bool evaluated = true;
    run_path(path, folder, "metrics.jsonl");
    FILE *file = hsae_os_fopen(path, "r");
    if (!file)
        return CLI_DONE;
    while (text_read_line(file, &line, &capacity) > 0) {
        json_t *object = json_loads(line, 0, NULL);
        double step = run_number(object, "step");
        bool evaluation = json_object_get(object, "evaluation");
        if (step > last || (step == last && evaluation && !evaluated)) {
            last = step;
            evaluated = evaluation;
            use(user, object);
        }
        json_decref(object);
    }
    int status = ferror(file) ? cli_file_error("read", path) : CLI_DONE;
    free(line);
    fclose(file);
    return status;
}

void run_cell(FILE *file, double value, int digits)
{
    if (isfinite(value))
        fprintf(file, "<td>%.*f</td>", digits, value);
    else
        fputs("<td>–</td>", file);
}
