/* SPDX-License-Identifier: MIT */
/* What peers exchange, and how a failure of one ends the others. */
#include "support.h"

#include "base/os.h"
#include "base/peers.h"

enum { PEERS = 4, ROUNDS = 200 };

struct peer {
    struct hsae_peers *peers;
    uint32_t own, ends; /* the round before which it fails */
    hsae_status status;
    bool good;
};

/* In every round parts of other sizes, some of them empty, and something that the first one decides. */
static void *work(void *user)
{
    struct peer *peer = user;
    peer->good = true;
    for (uint32_t round = 0; round < ROUNDS && !peer->status; round++) {
        uint32_t part[PEERS] = {0}, all[PEERS * PEERS], word = peer->own ? 0 : round + 7, count = 0;
        size_t sizes[PEERS];
        if (round == peer->ends) {
            hsae_peers_fail(peer->peers, HSAE_ERROR_DEVICE_LOST);
            break;
        }
        for (uint32_t k = 0; k < PEERS; k++) {
            part[k] = 100 * round + 10 * peer->own + k;
            sizes[k] = (round + k) % (PEERS + 1) * sizeof *part;
        }
        peer->status = hsae_peers_gather(peer->peers, peer->own, part, sizes, all);
        for (uint32_t k = 0; k < PEERS && !peer->status; k++)
            for (uint32_t i = 0; i < sizes[k] / sizeof *part; i++)
                peer->good &= all[count++] == 100 * round + 10 * k + i;
        if (!peer->status)
            peer->status = hsae_peers_share(peer->peers, peer->own, &word, sizeof word);
        peer->good &= peer->status || word == round + 7;
    }
    return NULL;
}

static void run(uint32_t who, uint32_t ends, hsae_status expected)
{
    struct peer peers[PEERS];
    pthread_t threads[PEERS];
    struct hsae_peers *shared;
    assert_ok(hsae_peers_create(context, PEERS, &shared));
    for (uint32_t k = 0; k < PEERS; k++)
        peers[k] = (struct peer){.peers = shared, .own = k, .ends = k == who ? ends : ROUNDS};
    for (uint32_t k = 0; k < PEERS; k++)
        assert_int_equal(hsae_os_thread_start(&threads[k], work, &peers[k]), 0);
    for (uint32_t k = 0; k < PEERS; k++)
        pthread_join(threads[k], NULL);
    for (uint32_t k = 0; k < PEERS; k++) {
        assert_true(peers[k].good);
        assert_int_equal(peers[k].status, k == who ? HSAE_OK : expected);
    }
    hsae_peers_destroy(&shared);
    assert_null(shared);
}

static void test_exchange(void **state)
{
    (void)state;
    run(0, ROUNDS, HSAE_OK);
}

static void test_failure(void **state)
{
    (void)state;
    for (uint32_t who = 0; who < PEERS; who++)
        for (uint32_t ends = 0; ends < ROUNDS; ends += 67)
            run(who, ends, HSAE_ERROR_DEVICE_LOST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_exchange), cmocka_unit_test(test_failure)};
    return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
