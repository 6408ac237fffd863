// SPDX-License-Identifier: GPL-2.0
/*
 * Functions for BPF programs at tc hooks, by which one sets or reads the
 * encapsulation of a packet on a tunnel device in external mode. Names,
 * arguments and numbers are those of Linux's fou, which programs are built for.
 *
 * In C since BPF finds functions by the module's BTF, which pahole does not make
 * for Rust.
 */

#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/module.h>
#include <net/dst_metadata.h>
#include <net/ip_tunnels.h>

/* What programs know as struct bpf_fou_encap; ports in network order. */
struct bpf_fou_encap {
	__be16 sport;
	__be16 dport;
};

/* What programs pass as type; anything else asks for no encapsulation. */
enum bpf_fou_encap_type {
	FOU_BPF_ENCAP_FOU,
	FOU_BPF_ENCAP_GUE,
};

__bpf_kfunc_start_defs();

/**
 * bpf_skb_set_fou_encap() - have a packet encapsulated in FOU or GUE
 * @skb_ctx: the program's context
 * @encap: UDP ports; a source port of 0 stands for the inner flow's
 * @type: enum bpf_fou_encap_type
 *
 * To be called after bpf_skb_set_tunnel_key(), whose metadata it adds to. The
 * outer UDP checksum is set if that asked for one.
 *
 * Return: 0, or -EINVAL if the packet has no metadata for transmission.
 */
__bpf_kfunc int bpf_skb_set_fou_encap(struct __sk_buff *skb_ctx, struct bpf_fou_encap *encap,
				      int type)
{
	struct ip_tunnel_info *info = skb_tunnel_info((struct sk_buff *)skb_ctx);

	if (!encap || !info || !(info->mode & IP_TUNNEL_INFO_TX))
		return -EINVAL;

	if (type == FOU_BPF_ENCAP_FOU)
		info->encap.type = TUNNEL_ENCAP_FOU;
	else if (type == FOU_BPF_ENCAP_GUE)
		info->encap.type = TUNNEL_ENCAP_GUE;
	else
		info->encap.type = TUNNEL_ENCAP_NONE;
	if (test_bit(IP_TUNNEL_CSUM_BIT, info->key.tun_flags))
		info->encap.flags |= TUNNEL_ENCAP_FLAG_CSUM;
	info->encap.sport = encap->sport;
	info->encap.dport = encap->dport;
	return 0;
}

/**
 * bpf_skb_get_fou_encap() - the UDP ports that a packet was received with
 * @skb_ctx: the program's context
 * @encap: where to store them
 *
 * Return: 0, or -EINVAL if the packet has no metadata.
 */
__bpf_kfunc int bpf_skb_get_fou_encap(struct __sk_buff *skb_ctx, struct bpf_fou_encap *encap)
{
	struct ip_tunnel_info *info = skb_tunnel_info((struct sk_buff *)skb_ctx);

	if (!info)
		return -EINVAL;

	encap->sport = info->encap.sport;
	encap->dport = info->encap.dport;
	return 0;
}

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(encap_kfunc_ids)
BTF_ID_FLAGS(func, bpf_skb_set_fou_encap)
BTF_ID_FLAGS(func, bpf_skb_get_fou_encap)
BTF_KFUNCS_END(encap_kfunc_ids)

static const struct btf_kfunc_id_set encap_kfunc_set = {
	.owner = THIS_MODULE,
	.set = &encap_kfunc_ids,
};

/* Called from Rust only. */
int rfou_register_encap_kfuncs(void);

int rfou_register_encap_kfuncs(void)
{
	return register_btf_kfunc_id_set(BPF_PROG_TYPE_SCHED_CLS, &encap_kfunc_set);
}
