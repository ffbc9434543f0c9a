//! Numbers of the kernel's netlink headers that `libc` does not name.

/// `linux/netlink.h` and `linux/netfilter/nfnetlink.h`.
pub(crate) const NLMSG_ERROR: u16 = 2;
pub(crate) const NLMSG_DONE: u16 = 3;
pub(crate) const BATCH_BEGIN: u16 = 0x10;
pub(crate) const BATCH_END: u16 = 0x11;

pub(crate) const F_REQUEST: u16 = 0x1;
pub(crate) const F_ACK: u16 = 0x4;
pub(crate) const F_DUMP: u16 = 0x300;
pub(crate) const F_CREATE: u16 = 0x400;
pub(crate) const F_DUMP_INTR: u16 = 0x10;
/// In an answer of type error: the request was not echoed beyond its header.
pub(crate) const F_CAPPED: u16 = 0x100;
/// In an answer of type error: attributes with the extended message follow.
pub(crate) const F_ACK_TLVS: u16 = 0x200;
pub(crate) const NLMSGERR_ATTR_MSG: u16 = 1;
pub(crate) const NLMSGERR_ATTR_OFFS: u16 = 2;

pub(crate) const NFNLGRP_NFTABLES: u32 = 7;
pub(crate) const SUBSYS_CONNTRACK: u16 = 1;
pub(crate) const SUBSYS_ULOG: u16 = 4;
pub(crate) const SUBSYS_NFTABLES: u16 = 10;

pub(crate) const FAMILY_UNSPEC: u8 = 0;
/// `NFPROTO_INET`: one table for IPv4 and IPv6.
pub(crate) const FAMILY_INET: u8 = 1;

/// `enum nf_tables_msg_types`, with the subsystem in the upper byte.
pub(crate) mod nft {
    const fn message(number: u16) -> u16 {
        super::SUBSYS_NFTABLES << 8 | number
    }
    pub(crate) const GETTABLE: u16 = message(1);
    pub(crate) const DELTABLE: u16 = message(2);
    pub(crate) const GETCHAIN: u16 = message(4);
    pub(crate) const GETRULE: u16 = message(7);
    pub(crate) const GETSET: u16 = message(10);
    pub(crate) const NEWSETELEM: u16 = message(12);
    pub(crate) const GETSETELEM: u16 = message(13);
    pub(crate) const DELSETELEM: u16 = message(14);
    pub(crate) const NEWGEN: u16 = message(15);
    pub(crate) const GETGEN: u16 = message(16);
    pub(crate) const GETOBJ: u16 = message(19);
    pub(crate) const GETFLOWTABLE: u16 = message(23);
}

pub(crate) const CONNTRACK_GET: u16 = SUBSYS_CONNTRACK << 8 | 1;

/// The table's name is attribute 1 in messages about tables, chains, rules, sets, elements,
/// objects and flow tables alike.
pub(crate) const TABLE: u16 = 1;

/// `enum nft_table_attributes`.
pub(crate) mod table {
    pub(crate) const NAME: u16 = 1;
    pub(crate) const FLAGS: u16 = 2;
    pub(crate) const USERDATA: u16 = 6;
    pub(crate) const OWNER: u16 = 7;
    pub(crate) const FLAG_DORMANT: u32 = 1;
}

/// `enum nft_chain_attributes` and `enum nft_hook_attributes`.
pub(crate) mod chain {
    pub(crate) const TABLE: u16 = 1;
    pub(crate) const NAME: u16 = 3;
    pub(crate) const HOOK: u16 = 4;
    pub(crate) const POLICY: u16 = 5;
    pub(crate) const USE: u16 = 6;
    pub(crate) const TYPE: u16 = 7;
    pub(crate) const FLAGS: u16 = 10;
    pub(crate) const USERDATA: u16 = 12;

    pub(crate) const HOOK_NUMBER: u16 = 1;
    pub(crate) const HOOK_PRIORITY: u16 = 2;
}

/// `enum nft_rule_attributes`, `enum nft_expr_attributes`, `enum nft_list_attributes`.
pub(crate) mod rule {
    pub(crate) const CHAIN: u16 = 2;
    pub(crate) const EXPRESSIONS: u16 = 4;
    pub(crate) const COMPAT: u16 = 5;
    pub(crate) const USERDATA: u16 = 7;

    pub(crate) const EXPRESSION_NAME: u16 = 1;
    pub(crate) const EXPRESSION_DATA: u16 = 2;
    pub(crate) const LOOKUP_SET: u16 = 1;
    pub(crate) const QUOTA_BYTES: u16 = 1;
    pub(crate) const QUOTA_FLAGS: u16 = 2;
    pub(crate) const QUOTA_FLAG_INVERT: u32 = 1;
}

/// `enum nft_set_attributes`.
pub(crate) mod set {
    pub(crate) const NAME: u16 = 2;
    pub(crate) const FLAGS: u16 = 3;
    pub(crate) const KEY_TYPE: u16 = 4;
    pub(crate) const KEY_LEN: u16 = 5;
    pub(crate) const DATA_TYPE: u16 = 6;
    pub(crate) const DATA_LEN: u16 = 7;
    pub(crate) const POLICY: u16 = 8;
    pub(crate) const DESC: u16 = 9;
    pub(crate) const TIMEOUT: u16 = 11;
    pub(crate) const GC_INTERVAL: u16 = 12;
    pub(crate) const USERDATA: u16 = 13;
    pub(crate) const OBJ_TYPE: u16 = 15;
    pub(crate) const EXPR: u16 = 17;
    pub(crate) const EXPRESSIONS: u16 = 18;

    pub(crate) const FLAG_ANONYMOUS: u32 = 1;
    pub(crate) const FLAG_CONSTANT: u32 = 2;
}

/// `enum nft_set_elem_list_attributes`, `enum nft_set_elem_attributes`,
/// `enum nft_data_attributes`, `enum nft_verdict_attributes`.
pub(crate) mod element {
    pub(crate) const LIST_TABLE: u16 = 1;
    pub(crate) const LIST_SET: u16 = 2;
    pub(crate) const LIST_ELEMENTS: u16 = 3;
    pub(crate) const LIST_ELEMENT: u16 = 1;

    pub(crate) const KEY: u16 = 1;
    pub(crate) const DATA: u16 = 2;
    pub(crate) const FLAGS: u16 = 3;
    pub(crate) const TIMEOUT: u16 = 4;
    pub(crate) const EXPIRATION: u16 = 5;
    pub(crate) const USERDATA: u16 = 6;
    /// One expression of the element's own, such as its counter.
    pub(crate) const EXPRESSION: u16 = 7;
    pub(crate) const OBJREF: u16 = 9;
    pub(crate) const KEY_END: u16 = 10;
    /// Several of them, in place of the one.
    pub(crate) const EXPRESSIONS: u16 = 11;

    pub(crate) const FLAG_INTERVAL_END: u32 = 1;
    pub(crate) const FLAG_CATCH_ALL: u32 = 2;

    pub(crate) const DATA_VALUE: u16 = 1;
    pub(crate) const DATA_VERDICT: u16 = 2;
    pub(crate) const VERDICT_CODE: u16 = 1;
    pub(crate) const VERDICT_CHAIN: u16 = 2;
}

/// `enum nft_object_attributes`, `enum nft_counter_attributes`, object types.
pub(crate) mod object {
    pub(crate) const TABLE: u16 = 1;
    pub(crate) const NAME: u16 = 2;
    pub(crate) const TYPE: u16 = 3;
    pub(crate) const DATA: u16 = 4;
    pub(crate) const USERDATA: u16 = 8;

    pub(crate) const TYPE_COUNTER: u32 = 1;
    pub(crate) const TYPE_QUOTA: u32 = 2;
    pub(crate) const COUNTER_BYTES: u16 = 1;
    pub(crate) const COUNTER_PACKETS: u16 = 2;
}

/// `enum nft_flowtable_attributes`.
pub(crate) mod flowtable {
    pub(crate) const NAME: u16 = 2;
    pub(crate) const HOOK: u16 = 3;
    pub(crate) const FLAGS: u16 = 7;
}

/// `enum nft_gen_attributes`.
pub(crate) mod generation {
    pub(crate) const ID: u16 = 1;
    pub(crate) const PROCESS_ID: u16 = 2;
    pub(crate) const PROCESS_NAME: u16 = 3;
}

/// `enum ctattr_type` and the enums of its nested attributes.
pub(crate) mod conntrack {
    pub(crate) const TUPLE_ORIGINAL: u16 = 1;
    pub(crate) const TUPLE_REPLY: u16 = 2;
    pub(crate) const STATUS: u16 = 3;
    pub(crate) const PROTOCOL_INFO: u16 = 4;
    pub(crate) const TIMEOUT: u16 = 7;
    pub(crate) const MARK: u16 = 8;

    pub(crate) const TUPLE_ADDRESSES: u16 = 1;
    pub(crate) const TUPLE_PROTOCOL: u16 = 2;
    pub(crate) const V4_SOURCE: u16 = 1;
    pub(crate) const V4_DESTINATION: u16 = 2;
    pub(crate) const V6_SOURCE: u16 = 3;
    pub(crate) const V6_DESTINATION: u16 = 4;
    pub(crate) const PROTOCOL_NUMBER: u16 = 1;
    pub(crate) const SOURCE_PORT: u16 = 2;
    pub(crate) const DESTINATION_PORT: u16 = 3;

    /// `enum ctattr_protoinfo` and `enum ctattr_protoinfo_tcp`.
    pub(crate) const INFO_TCP: u16 = 1;
    pub(crate) const TCP_FLAGS_ORIGINAL: u16 = 4;
    /// `linux/netfilter/nf_conntrack_tcp.h`: the window of this side is not checked. The kernel sets
    /// this for a connection that it picked up in the middle.
    pub(crate) const TCP_FLAG_BE_LIBERAL: u8 = 0x08;

    pub(crate) const STATUS_SEEN_REPLY: u32 = 1 << 1;
    pub(crate) const STATUS_ASSURED: u32 = 1 << 2;
    pub(crate) const STATUS_CONFIRMED: u32 = 1 << 3;
}

/// `linux/netfilter/nfnetlink_log.h`: `enum nfulnl_msg_types` with the subsystem in the upper byte,
/// `enum nfulnl_attr_type`, `enum nfulnl_attr_config` and their values.
pub(crate) mod ulog {
    pub(crate) const PACKET: u16 = super::SUBSYS_ULOG << 8;
    pub(crate) const CONFIG: u16 = super::SUBSYS_ULOG << 8 | 1;

    pub(crate) const PACKET_HEADER: u16 = 1;
    pub(crate) const TIMESTAMP: u16 = 3;
    pub(crate) const PAYLOAD: u16 = 9;
    pub(crate) const PREFIX: u16 = 10;
    pub(crate) const SEQUENCE: u16 = 12;

    pub(crate) const CONFIG_COMMAND: u16 = 1;
    pub(crate) const CONFIG_MODE: u16 = 2;
    pub(crate) const CONFIG_TIMEOUT: u16 = 4;
    pub(crate) const CONFIG_THRESHOLD: u16 = 5;
    pub(crate) const CONFIG_FLAGS: u16 = 6;

    pub(crate) const COMMAND_BIND: u8 = 1;
    pub(crate) const COMMAND_UNBIND: u8 = 2;
    pub(crate) const COPY_PACKET: u8 = 2;
    pub(crate) const FLAG_SEQUENCE: u16 = 1;
}
