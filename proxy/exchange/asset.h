/* proxy/exchange/asset.h — a version that lacks a page's asset: the other one is asked.
 *
 * While two releases share the traffic, a page of one asks for its scripts and pictures, and the
 * request may reach the other, which has never heard of them: it answers 404, or 200 with the page
 * that single-page sites give for everything. Neither is a fault of that version. So the answer is
 * held (its head is kept, its body not read) and the request is sent to the other version, in
 * either direction, with a budget and a deadline of its own. An answer of 2xx that is no HTML is
 * better and goes to the client; otherwise the client gets the held answer, whole and unchanged.
 *
 *     RELAYING <- give --- held --- ask --> the other version's attempt: better --> RELAYING
 *                           ^                                          |
 *                           +---- not better, failed, or too late -----+
 *
 * Part of the exchange; one worker's loop. */
#pragma once
#include "proxy/exchange/exchange_state.h"

/* Is it an asset, as its request says or as its path is configured? Pure. */
bool asset_is_asked_for(const struct request *request, const struct conf_assets *conf);
/* May it be asked of another version? Parts of two representations must not be put together
 * (RFC 9110 section 14.2), and what depends on one of them is answered by the one that was asked.
 * Pure. */
bool asset_is_repeatable(const struct request *request);
/* A 404, or a page where something else was asked for. Pure. */
bool asset_is_missing(const struct response *response);
/* The asset itself. Pure. */
bool asset_is_found(const struct response *response);

/* The final head of an attempt is in, nothing of it counted: true when the other version is asked
 * first, or the held answer was given instead of this one. The exchange may be over then. */
bool exchange_ask_asset(struct exchange *exchange, const struct response *response);
/* Is the present attempt at the version that was not chosen, for an asset? */
bool exchange_is_asking(const struct exchange *exchange);
/* The version that is asked; only then. */
enum role exchange_asked_role(const struct exchange *exchange);
/* What the client, or the cache, has may be of another version or of none: the whole is asked for.
 */
void asset_drop_conditions(struct fields *fields);
/* The other version's attempt is counted and its connection given up: the client gets the held
 * answer. */
void exchange_give_held(struct exchange *exchange);
/* It took too long. */
void exchange_stop_asking(struct exchange *exchange);
/* The exchange ends: lets go of what is held. Nothing to do when nothing is. */
void exchange_drop_held(struct exchange *exchange);
