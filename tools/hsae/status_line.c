/* SPDX-License-Identifier: MIT */
/* The updating line at the bottom of a terminal. */
#include "cli.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

enum { LEAST_BAR = 10, MOST_BAR = 30, ENOUGH = 512 /* columns */ };

static atomic_bool is_shown;

bool cli_has_status_line(void)
{
    static int known = -1;
    if (known < 0)
        known = hsae_os_has_terminal();
    return known && cli_verbose != CLI_QUIET;
}

/* Columns that a line may take; the last one stays free, so that none wraps, which could not be taken away again. */
static size_t columns(void)
{
    unsigned width = hsae_os_terminal_width();
    return width > 4 && width < ENOUGH ? width - 1 : 79;
}

/* At most ten lines a second unless `force`. */
static bool is_due(bool force)
{
    static double last;
    double now = hsae_os_seconds();
    if (!cli_has_status_line() || (!force && now - last < 0.1))
        return false;
    last = now;
    return true;
}

/* A line that is too long ends with "...". */
static void show(char *text)
{
    size_t width = columns();
    if (strlen(text) > width)
        memcpy(text + width - 3, "...", 4);
    fprintf(stderr, "\r%s\033[K", text);
    atomic_store(&is_shown, true);
}

void cli_status_line(bool force, const char *format, ...)
{
    char text[ENOUGH];
    va_list arguments;
    if (!is_due(force))
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    show(text);
}

void cli_bar(bool force, const char *what, uint64_t done, uint64_t total, const struct cli_bar_part parts[CLI_BAR_PARTS])
{
    char text[2 * ENOUGH], after[ENOUGH], bar[MOST_BAR + 1];
    double share = total ? (double)done / (double)total : 1;
    if (!is_due(force))
        return;
    size_t width = columns(), before = strlen(what), used = (size_t)snprintf(after, sizeof after, " %3.0f %%", 100 * share);
    for (int k = 0; parts && k < CLI_BAR_PARTS && parts[k].text; k++) {
        size_t room = width > before + LEAST_BAR + 3 + used + 2 ? width - (before + LEAST_BAR + 3 + used + 2) : 0;
        const char *fits = strlen(parts[k].text) <= room                          ? parts[k].text
                           : parts[k].shorter && strlen(parts[k].shorter) <= room ? parts[k].shorter
                                                                                  : NULL;
        if (fits)
            used += (size_t)snprintf(after + used, sizeof after - used, "  %s", fits);
    }
    size_t length = width > before + used + 3 ? width - before - used - 3 : 0;
    length = length < MOST_BAR ? length : MOST_BAR;
    size_t full = (size_t)((double)length * share);
    for (size_t k = 0; k < length; k++)
        bar[k] = k < full ? '=' : k == full ? '>' : ' ';
    bar[length] = 0;
    if (length < LEAST_BAR)
        snprintf(text, sizeof text, "%s%s", what, after);
    else
        snprintf(text, sizeof text, "%s [%s]%s", what, bar, after);
    show(text);
}

void cli_clear_status_line(void)
{
    if (atomic_exchange(&is_shown, false))
        fputs("\r\033[K", stderr);
}

bool cli_progress(void *user, uint64_t done, uint64_t total)
{
    if (done == total)
        cli_clear_status_line();
    else
        cli_bar(false, user, done, total, NULL);
    return !cli_signal();
}
