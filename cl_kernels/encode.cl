/* SPDX-License-Identifier: MIT */
/* p = E x + b for a chunk of features: the activity bitmap of { p > cut }, and p in the chunk's scratch for the words that have a bit.
 *
 * A work-group owns a tile of features times TILE_WORDS whole bitmap words; tiles of samples are the fastest, so that E streams once. Its
 * lanes are a grid: a work-item holds COLS features, ENCODE_LANES_F apart, times TILE_VECTORS vectors of samples, ENCODE_LANES_S apart, in
 * registers. Operands are read from memory (TILE_STEP = 0), or through local memory, TILE_STEP columns at a time; with TILE_PREFETCH the
 * next ones are loaded to registers meanwhile. Every sum runs over ascending columns, whatever the tile. */

#define ROW_LOADS (ENCODE_FEATURES * ENCODE_STEP_VECTORS / WG)
#define COLUMN_LOADS (ENCODE_SAMPLES * TILE_STEP / WG)

/* One column: EACH_ELEMENT of a vector of weights. */
#define MEMORY_COLUMN(c, element) ACCUMULATE(element, panels[from[v] + (k * VW + c) * VECTORS_PER_WORD])
#define STAGED_COLUMN(c, element) ACCUMULATE(element, columns[(part * VW + c) * ENCODE_SAMPLES + v * ENCODE_LANES_S + lane_s])
#define ACCUMULATE(element, source)                                     \
    UNROLL for (u32 v = 0u; v < ENCODE_VECTORS; v++) value[v] = source; \
    UNROLL for (u32 f = 0u; f < COLS; f++)                              \
        UNROLL for (u32 v = 0u; v < ENCODE_VECTORS; v++)                \
            acc[f * ENCODE_VECTORS + v] = fma_vf(splat(weight[f].element), value[v], acc[f * ENCODE_VECTORS + v]);

#define LOAD_STEP(k)                                                                           \
    UNROLL for (u32 i = 0u; i < ROW_LOADS; i++) next_row[i] = encoder[row_from[i] + (k) / VW]; \
    UNROLL for (u32 i = 0u; i < COLUMN_LOADS; i++) next_column[i] = panels[column_from[i] + (k) * VECTORS_PER_WORD];

KERNEL(encode)
    u32 tiles = (p.words + ENCODE_WORDS - 1u) / ENCODE_WORDS, width = p.stride / VW;
    u32 tile = GROUP / tiles * ENCODE_FEATURES, word = (GROUP % tiles) * ENCODE_WORDS;
    u32 dim = tile < p.count ? p.dim : 0u; /* spare groups do nothing; PoCL 3.1 miscompiles what follows a barrier after a return */
    u32 lane_f = ENCODE_LANES_F == 1u ? 0u : LANE / ENCODE_LANES_S, lane_s = LANE - lane_f * ENCODE_LANES_S;
    vf acc[COLS * ENCODE_VECTORS], weight[COLS], value[ENCODE_VECTORS];
    UNROLL for (u32 f = 0u; f < COLS * ENCODE_VECTORS; f++) acc[f] = splat(0.0f);

    if (TILE_STEP == 0u) {
        u32 row[COLS], from[ENCODE_VECTORS];
        UNROLL for (u32 f = 0u; f < COLS; f++) row[f] = (p.row + min(tile + f * ENCODE_LANES_F + lane_f, p.count - 1u)) * width;
        UNROLL for (u32 v = 0u; v < ENCODE_VECTORS; v++) {
            u32 vector = v * ENCODE_LANES_S + lane_s;
            from[v] = min(word + vector / VECTORS_PER_WORD, p.words - 1u) * p.stride * VECTORS_PER_WORD + vector % VECTORS_PER_WORD;
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
            row_from[i] = (p.row + min(tile + at / ENCODE_STEP_VECTORS, p.count - 1u)) * width + at % ENCODE_STEP_VECTORS;
        }
        UNROLL for (u32 i = 0u; i < COLUMN_LOADS; i++) {
            u32 at = i * WG + LANE, panel = at / (VECTORS_PER_WORD * TILE_STEP);
            column_from[i] = min(word + panel, p.words - 1u) * p.stride * VECTORS_PER_WORD + at % (VECTORS_PER_WORD * TILE_STEP);
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
                rows[at / ENCODE_STEP_VECTORS * ENCODE_LINE + at % ENCODE_STEP_VECTORS] = next_row[i];
            }
            UNROLL for (u32 i = 0u; i < COLUMN_LOADS; i++) {
                u32 at = i * WG + LANE, panel = at / (VECTORS_PER_WORD * TILE_STEP), column = at / VECTORS_PER_WORD % TILE_STEP;
                columns[column * ENCODE_SAMPLES + panel * VECTORS_PER_WORD + at % VECTORS_PER_WORD] = next_column[i];
            }
            LOCAL_BARRIER();
            if (TILE_PREFETCH != 0u) {
                u32 ahead = k + TILE_STEP < dim ? k + TILE_STEP : k;
                LOAD_STEP(ahead)
            }
            for (u32 part = 0u; part < ENCODE_STEP_VECTORS; part++) {
                UNROLL for (u32 f = 0u; f < COLS; f++) weight[f] = rows[(f * ENCODE_LANES_F + lane_f) * ENCODE_LINE + part];
                EACH_ELEMENT(STAGED_COLUMN)
            }
        }
    }

    /* Each vector's marks. Samples after the batch have none. */
    u32 mark[ENCODE_VECTORS * ENCODE_MARKS];
    UNROLL for (u32 v = 0u; v < ENCODE_VECTORS * ENCODE_MARKS; v++) mark[v] = 0u;
    UNROLL for (u32 f = 0u; f < COLS; f++) {
        u32 feature = (p.first + min(tile + f * ENCODE_LANES_F + lane_f, p.count - 1u)) * SCALAR_WORDS;
        vf bias = splat(bits_f32(feature_scalars[feature + SCALAR_BIAS]));
        f32 cut = bits_f32(feature_scalars[feature + SCALAR_CUT]);
        UNROLL for (u32 v = 0u; v < ENCODE_VECTORS; v++) {
            u32 b = (word * VECTORS_PER_WORD + v * ENCODE_LANES_S + lane_s) * VW, left = p.batch - min(b, p.batch);
            u32 valid = left >= VW ? (1u << VW) - 1u : (1u << left) - 1u;
            acc[f * ENCODE_VECTORS + v] = acc[f * ENCODE_VECTORS + v] + bias;
            mark[v * ENCODE_MARKS + f / VECTORS_PER_WORD] |=
                (above_vf(acc[f * ENCODE_VECTORS + v], cut) & valid) << (f % VECTORS_PER_WORD * VW);
        }
    }
    if (ENCODE_LANES_S > 1u) {
        UNROLL for (u32 v = 0u; v < ENCODE_VECTORS * ENCODE_MARKS; v++) marks[v * WG + LANE] = mark[v];
        LOCAL_BARRIER();
    }
    /* A word's vectors are those of adjacent lanes, or the work-item's own. Its owner for feature f is the lane whose turn is f. */
    UNROLL for (u32 v = 0u; v < ENCODE_VECTORS; v++) {
        u32 vector = v * ENCODE_LANES_S + lane_s, w = word + vector / VECTORS_PER_WORD;
        u32 turn = ENCODE_LANES_S > 1u ? vector % VECTORS_PER_WORD : v % VECTORS_PER_WORD;
        UNROLL for (u32 f = 0u; f < COLS; f++) {
            u32 r = tile + f * ENCODE_LANES_F + lane_f, whole = 0u;
            UNROLL for (u32 other = 0u; other < VECTORS_PER_WORD; other++) {
                u32 theirs;
                if (ENCODE_LANES_S > 1u)
                    theirs = marks[(v * ENCODE_MARKS + f / VECTORS_PER_WORD) * WG + LANE - turn + other];
                else
                    theirs = mark[(v - v % VECTORS_PER_WORD + other) * ENCODE_MARKS + f / VECTORS_PER_WORD];
                whole |= (theirs >> (f % VECTORS_PER_WORD * VW) & ((1u << VW) - 1u)) << (other * VW);
            }
            if (r < p.count && w < p.words) {
                if (turn == (ENCODE_LANES_S > 1u ? f % VECTORS_PER_WORD : 0u))
                    bits[(p.first + r) * p.words + w] = whole;
                if (whole != 0u)
                    scratch[(r * p.words + w) * VECTORS_PER_WORD + vector % VECTORS_PER_WORD] = acc[f * ENCODE_VECTORS + v];
            }
        }
    }
END
