/* SPDX-License-Identifier: MIT */
#include "lm.h"

enum { MOST = 1 << 20 };

const char *lm_options_problem(const struct lm_options *options)
{
    return options->layer == UINT64_MAX && !options->activation    ? "--gguf needs --layer N, or --activation NAME"
           : options->layer != UINT64_MAX && options->activation   ? "--layer and --activation exclude each other"
           : options->layer != UINT64_MAX && options->layer > MOST ? "--layer is too large"
           : !options->text.count                                  ? "--gguf needs --text PATH..."
           : options->context < 2                                  ? "--context takes 2 or more: a start token, and one of the text"
           : !options->sequences                                   ? "--sequences takes 1 or more"
           : options->context > MOST || options->sequences > MOST / options->context
               ? "--context times --sequences may be 1,048,576 at most"
           : options->threads > 4096 ? "--threads takes 4096 at most"
                                     : NULL;
}
