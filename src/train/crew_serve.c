/* SPDX-License-Identifier: MIT */
/* How the other processes serve process 0. */
#include "crew_network.h"

#include "base/context.h"
#include <string.h>

hsae_status hsae_network_end(const hsae_network *network)
{
    HSAE_REQUIRE(NULL, network);
    struct call call = {.trains = 0};
    return network->share(network->user, &call, sizeof call);
}

/* The trainer that process 0 calls for. */
static hsae_status serve_trainer(hsae_context *context, hsae_device *device, const hsae_network *network, const struct call *call,
                                 struct hsae_peers *peers)
{
    struct invitation invitation;
    hsae_trainer *trainer = NULL;
    hsae_status status = HSAE_OK;
    if (!device)
        return HSAE_ERROR_NO_DEVICE; /* which was said when it was looked for */
    if (strcmp(call->version, hsae_version()) != 0 || call->layout != hsae_crew_layout())
        return hsae_fail(context, HSAE_ERROR_UNSUPPORTED,
                         "process 0 has libhsae %.24s, process %u %s, or another kind of machine; use one version", call->version,
                         (unsigned)network->rank, hsae_version());
    status = hsae_peers_share(peers, network->rank, &invitation, sizeof invitation);
    if (!status)
        status = hsae_trainer_alloc_bare(device, &invitation.config, invitation.dim, (hsae_dtype)invitation.dtype, &trainer);
    if (!status)
        status = hsae_crew_join(trainer, peers, network->ranks, network->rank);
    if (!status)
        status = hsae_crew_compare_devices(trainer);
    if (!status)
        status = hsae_trainer_make_device_model(trainer);
    if (!status)
        status = hsae_crew_obey(trainer);
    hsae_trainer_destroy(&trainer);
    return status;
}

hsae_status hsae_network_serve(hsae_context *context, hsae_device *device, const hsae_network *network)
{
    HSAE_REQUIRE(context, context, network);
    hsae_status first = HSAE_OK, status = HSAE_OK;
    if (!network->rank)
        return hsae_fail(context, HSAE_ERROR_ARGUMENT, "process 0 does not serve: it makes the trainers");
    while (!status) {
        struct call call = {0};
        struct hsae_peers *peers = NULL;
        status = network->share(network->user, &call, sizeof call);
        if (status || !call.trains)
            break;
        status = hsae_peers_create_network(context, network, &peers);
        if (status)
            break;
        hsae_status served = serve_trainer(context, device, network, &call, peers);
        hsae_peers_fail(peers, served);
        hsae_peers_destroy(&peers);
        if (!first && served != HSAE_CANCELLED)
            first = served;
    }
    return first ? first : status;
}
