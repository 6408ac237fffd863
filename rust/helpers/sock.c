// SPDX-License-Identifier: GPL-2.0

#include <net/sock.h>

__rust_helper struct net *rust_helper_sock_net(const struct sock *sk)
{
	return sock_net(sk);
}

__rust_helper void *rust_helper_rcu_dereference_sk_user_data(const struct sock *sk)
{
	return rcu_dereference_sk_user_data(sk);
}

__rust_helper __be32 rust_helper_sk_daddr(const struct sock *sk)
{
	return sk->sk_daddr;
}

__rust_helper __be32 rust_helper_sk_rcv_saddr(const struct sock *sk)
{
	return sk->sk_rcv_saddr;
}

#if IS_ENABLED(CONFIG_IPV6)
__rust_helper const struct in6_addr *rust_helper_sk_v6_daddr(const struct sock *sk)
{
	return &sk->sk_v6_daddr;
}

__rust_helper const struct in6_addr *rust_helper_sk_v6_rcv_saddr(const struct sock *sk)
{
	return &sk->sk_v6_rcv_saddr;
}
#endif

__rust_helper __be16 rust_helper_sk_dport(const struct sock *sk)
{
	return sk->sk_dport;
}

__rust_helper u16 rust_helper_sk_num(const struct sock *sk)
{
	return sk->sk_num;
}

__rust_helper unsigned short rust_helper_sk_family(const struct sock *sk)
{
	return sk->sk_family;
}

__rust_helper void rust_helper_sk_set_allocation(struct sock *sk, gfp_t allocation)
{
	sk->sk_allocation = allocation;
}

__rust_helper int rust_helper_sk_bound_dev_if(const struct sock *sk)
{
	return sk->sk_bound_dev_if;
}
