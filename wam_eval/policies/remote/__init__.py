"""A policy server: transport, codec, protocol and mapping, each in a module of its own, and the policy that uses them.

Transport moves messages (:mod:`.transport`), the codec turns them into bytes (:mod:`.codec`), the protocol says who
speaks when and how errors look (:mod:`.protocol`), and the mapping says which observation is at which key and which
numbers of a reply are the actions (:mod:`.mapping`).
"""

from wam_eval.policies.remote.policy import Remote, RemoteError, RemoteSettings

__all__ = ["Remote", "RemoteError", "RemoteSettings"]
