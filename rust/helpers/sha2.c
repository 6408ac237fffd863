// SPDX-License-Identifier: GPL-2.0

#include <crypto/sha2.h>

__rust_helper void rust_helper_hmac_sha256_init(struct hmac_sha256_ctx *ctx,
						const struct hmac_sha256_key *key)
{
	hmac_sha256_init(ctx, key);
}

__rust_helper void rust_helper_hmac_sha256_update(struct hmac_sha256_ctx *ctx, const u8 *data,
						  size_t data_len)
{
	hmac_sha256_update(ctx, data, data_len);
}
