/* SPDX-License-Identifier: MIT */
/* p = E x + b for a chunk of features: the activity bitmap of { p > cut }, and p in the chunk's scratch for the words that have a bit.
 *
 * A work-group owns a tile of features times TILE_WORDS whole bitmap words; tiles of samples are the fastest, so that E streams once. Its lanes are
 * a grid: a work-item holds COLS features, LANES_F apart, times TILE_VECTORS vectors of samples, LANES_S apart, in registers. Operands
 * come straight from memory (TILE_STEP = 0), or through local memory TILE_STEP columns at a time, the next ones already on their way in
 * registers where TILE_PREFETCH is set. Every sum runs over ascending columns, whatever the tile. */

#define PARTS (32u / VW) /* vectors of a bitmap word */
#define VECTORS (TILE_VECTORS == 0u ? PARTS : TILE_VECTORS)
#define WORDS (TILE_WORDS == 0u ? 1u : TILE_WORDS)
#define LANES_S (WORDS * PARTS / VECTORS) /* 1, or a multiple of PARTS: adjacent lanes share a word */
#define LANES_F (WG / LANES_S)
#define FEATURES (LANES_F * COLS)

/* Staged: rows of STEP_PARTS vectors and padding; columns of the tile's samples. */
#define AT_LEAST_1(x) ((x) == 0u ? 1u : (x))
#define STEP_PARTS (TILE_STEP / VW)
#define LINE (STEP_PARTS + TILE_PAD)
#define SAMPLES (WORDS * PARTS)
#define ROW_LOADS (FEATURES * STEP_PARTS / WG)
#define COLUMN_LOADS (SAMPLES * TILE_STEP / WG)
/* Marks of a work-item's features, VW bits each, go into words. */
#define MARKS ((COLS + PARTS - 1u) / PARTS)

/* One column: EACH_ELEMENT of a vector of weights. */
#define MEMORY_COLUMN(c, element) ACCUMULATE(element, panels[from[v] + (k * VW + c) * PARTS])
#define STAGED_COLUMN(c, element) ACCUMULATE(element, columns[(part * VW + c) * SAMPLES + v * LANES_S + lane_s])
#define ACCUMULATE(element, source)                                                                                       \
    UNROLL for (u32 v = 0u; v < VECTORS; v++) value[v] = source;                                                          \
    UNROLL for (u32 f = 0u; f < COLS; f++)                                                                                \
        UNROLL for (u32 v = 0u; v < VECTORS; v++)                                                                         \
            acc[f * VECTORS + v] = fma_vf(splat(weight[f].element), value[v], acc[f * VECTORS + v]);

#define LOAD_STEP(k)                                                                                                      \
    UNROLL for (u32 i = 0u; i < ROW_LOADS; i++) next_row[i] = encoder[row_from[i] + (k) / VW];                            \
    UNROLL for (u32 i = 0u; i < COLUMN_LOADS; i++) next_column[i] = panels[column_from[i] + (k) * PARTS];

KERNEL_5(encode, READ(0, vf, panels), READ(1, vf, encoder), READ(2, u32, table), WRITE(3, u32, bits), WRITE(4, vf, scratch))
LOCALS_3(LOCAL(vf, rows, AT_LEAST_1(FEATURES * LINE * (TILE_STEP == 0u ? 0u : 1u))), LOCAL(vf, columns, AT_LEAST_1(SAMPLES * TILE_STEP)),
         LOCAL(u32, marks, LANES_S == 1u ? 1u : WG * VECTORS * MARKS))
BEGIN(encode)
    u32 tiles = (p.words + WORDS - 1u) / WORDS, width = p.stride / VW;
    u32 tile = GROUP / tiles * FEATURES, word = (GROUP % tiles) * WORDS;
    u32 dim = tile < p.count ? p.dim : 0u; /* spare groups do nothing; PoCL 3.1 miscompiles what follows a barrier that is behind a return */
    u32 lane_f = LANES_F == 1u ? 0u : LANE / LANES_S, lane_s = LANE - lane_f * LANES_S;
    vf acc[COLS * VECTORS], weight[COLS], value[VECTORS];
    UNROLL for (u32 f = 0u; f < COLS * VECTORS; f++) acc[f] = splat(0.0f);

    if (TILE_STEP == 0u) {
        u32 row[COLS], from[VECTORS];
        UNROLL for (u32 f = 0u; f < COLS; f++) row[f] = (p.row + min(tile + f * LANES_F + lane_f, p.count - 1u)) * width;
        UNROLL for (u32 v = 0u; v < VECTORS; v++) {
            u32 vector = v * LANES_S + lane_s;
            from[v] = min(word + vector / PARTS, p.words - 1u) * p.stride * PARTS + vector % PARTS;
        }
        for (u32 k = 0u; k < (dim + VW - 1u) / VW; k++) {
            UNROLL for (u32 f = 0u; f < COLS; f++) weight[f] = encoder[row[f] + k];
            EACH_ELEMENT(MEMORY_COLUMN)
        }
    } else {
        u32 row_from[AT_LEAST_1(ROW_LOADS)], column_from[AT_LEAST_1(COLUMN_LOADS)];
        vf next_row[AT_LEAST_1(ROW_LOADS)], next_column[AT_LEAST_1(COLUMN_LOADS)];
        UNROLL for (u32 i = 0u; i < ROW_LOADS; i++) {
            u32 at = i * WG + LANE;
            row_from[i] = (p.row + min(tile + at / STEP_PARTS, p.count - 1u)) * width + at % STEP_PARTS;
        }
        UNROLL for (u32 i = 0u; i < COLUMN_LOADS; i++) {
            u32 at = i * WG + LANE, panel = at / (PARTS * TILE_STEP);
            column_from[i] = min(word + panel, p.words - 1u) * p.stride * PARTS + at % (PARTS * TILE_STEP);
        }
        if (TILE_PREFETCH != 0u) {
            LOAD_STEP(0u)
        }
        for (u32 k = 0u; k < dim; k += TILE_STEP) {
            if (TILE_PREFETCH == 0u) {
                LOAD_STEP(k)
            }
            LOCAL_BARRIER();
            UNROLL for (u32 i = 0u; i < ROW_LOADS; i++) {
                u32 at = i * WG + LANE;
                rows[at / STEP_PARTS * LINE + at % STEP_PARTS] = next_row[i];
            }
            UNROLL for (u32 i = 0u; i < COLUMN_LOADS; i++) {
                u32 at = i * WG + LANE, panel = at / (PARTS * TILE_STEP), column = at / PARTS % TILE_STEP;
                columns[column * SAMPLES + panel * PARTS + at % PARTS] = next_column[i];
            }
            LOCAL_BARRIER();
            if (TILE_PREFETCH != 0u) {
                u32 ahead = k + TILE_STEP < dim ? k + TILE_STEP : k;
                LOAD_STEP(ahead)
            }
            for (u32 part = 0u; part < STEP_PARTS; part++) {
                UNROLL for (u32 f = 0u; f < COLS; f++) weight[f] = rows[(f * LANES_F + lane_f) * LINE + part];
                EACH_ELEMENT(STAGED_COLUMN)
            }
        }
    }

    /* Each vector's marks. Samples behind the batch have none. */
    u32 mark[VECTORS * MARKS];
    UNROLL for (u32 v = 0u; v < VECTORS * MARKS; v++) mark[v] = 0u;
    UNROLL for (u32 f = 0u; f < COLS; f++) {
        u32 feature = (p.first + min(tile + f * LANES_F + lane_f, p.count - 1u)) * TABLE_WORDS;
        vf bias = splat(bits_f32(table[feature + TABLE_BIAS]));
        f32 cut = bits_f32(table[feature + TABLE_CUT]);
        UNROLL for (u32 v = 0u; v < VECTORS; v++) {
            u32 b = (word * PARTS + v * LANES_S + lane_s) * VW, left = p.rows - min(b, p.rows);
            u32 valid = left >= VW ? (1u << VW) - 1u : (1u << left) - 1u;
            acc[f * VECTORS + v] = acc[f * VECTORS + v] + bias;
            mark[v * MARKS + f / PARTS] |= (above_vf(acc[f * VECTORS + v], cut) & valid) << (f % PARTS * VW);
        }
    }
    if (LANES_S > 1u) {
        UNROLL for (u32 v = 0u; v < VECTORS * MARKS; v++) marks[v * WG + LANE] = mark[v];
        LOCAL_BARRIER();
    }
    /* A word's vectors are those of adjacent lanes, or the work-item's own. Its owner for feature f is the lane whose turn is f. */
    UNROLL for (u32 v = 0u; v < VECTORS; v++) {
        u32 vector = v * LANES_S + lane_s, w = word + vector / PARTS, turn = LANES_S > 1u ? vector % PARTS : v % PARTS;
        UNROLL for (u32 f = 0u; f < COLS; f++) {
            u32 r = tile + f * LANES_F + lane_f, whole = 0u;
            UNROLL for (u32 other = 0u; other < PARTS; other++) {
                u32 theirs;
                if (LANES_S > 1u)
                    theirs = marks[(v * MARKS + f / PARTS) * WG + LANE - turn + other];
                else
                    theirs = mark[(v - v % PARTS + other) * MARKS + f / PARTS];
                whole |= (theirs >> (f % PARTS * VW) & ((1u << VW) - 1u)) << (other * VW);
            }
            if (r < p.count && w < p.words) {
                if (turn == (LANES_S > 1u ? f % PARTS : 0u))
                    bits[(p.first + r) * p.words + w] = whole;
                if (whole != 0u)
                    scratch[(r * p.words + w) * PARTS + vector % PARTS] = acc[f * VECTORS + v];
            }
        }
    }
END
