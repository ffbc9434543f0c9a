//! The other firewalls by name, as one table: how each is recognised and what it does beside
//! ours.

/// A firewall, or a program that feeds one.
pub struct Known {
    /// A short fixed name for scripts.
    pub id: &'static str,
    /// The name as people write it.
    pub name: &'static str,
    /// Files and folders it leaves; a `*` at the end, or `*.ending`, stands for any name.
    pub files: &'static [&'static str],
    /// Whether those files alone mean that it is there. Some are part of every Debian.
    pub files_suffice: bool,
    /// The systemd units or boot scripts that start it, without `.service`.
    pub units: &'static [&'static str],
    /// The names of its processes; more words may follow (`lfd - sleeping`).
    pub processes: &'static [&'static str],
    /// Its own tables, as `family name`; the name may be only its beginning, with `*`.
    pub tables: &'static [&'static str],
    /// The beginnings of the names of its chains in the tables of iptables.
    pub chains: &'static [&'static str],
    /// The hooks of iptables whose policy it sets.
    pub policies: &'static [&'static str],
    /// How it empties rules that are not its own; empty where it does not.
    pub flushes: &'static str,
    /// What else should be known, as a sentence; empty for nothing.
    pub note: &'static str,
}

/// What a firewall without special ways looks like.
const PLAIN: Known = Known {
    id: "",
    name: "",
    files: &[],
    files_suffice: true,
    units: &[],
    processes: &[],
    tables: &[],
    chains: &[],
    policies: &[],
    flushes: "",
    note: "",
};

/// All firewalls that are known by name. The first whose mark fits a chain has it.
pub const KNOWN: &[Known] = &[
    Known {
        id: "ufw",
        name: "ufw",
        files: &["/etc/ufw/ufw.conf"],
        units: &["ufw"],
        chains: &["ufw-", "ufw6-"],
        policies: &["input", "forward"],
        ..PLAIN
    },
    Known {
        id: "firewalld",
        name: "firewalld",
        files: &["/etc/firewalld/firewalld.conf"],
        units: &["firewalld"],
        processes: &["firewalld"],
        tables: &["inet firewalld*", "ip firewalld*", "ip6 firewalld*"],
        note: "Its zones refuse what they do not list.",
        ..PLAIN
    },
    Known {
        id: "freepbx-firewall",
        name: "FreePBX Firewall",
        files: &["/etc/asterisk/firewall*", "/var/www/html/admin/modules/firewall"],
        units: &["freepbx"],
        processes: &["voipfirewalld"],
        chains: &["fpbx", "rejsvc-", "zone-"],
        flushes: "empties all rules of iptables when it starts (iptables -F), in some versions even \
                  where it is switched off",
        ..PLAIN
    },
    Known {
        id: "fail2ban",
        name: "fail2ban",
        files: &["/etc/fail2ban/jail.conf"],
        units: &["fail2ban"],
        processes: &["fail2ban-server"],
        tables: &["inet f2b-*", "ip f2b-*", "ip6 f2b-*"],
        chains: &["f2b-", "fail2ban-"],
        note: "Its bans still apply, to allowed addresses too: list them in its \
               ignoreip.",
        ..PLAIN
    },
    Known {
        id: "crowdsec",
        name: "CrowdSec",
        files: &["/etc/crowdsec/config.yaml"],
        units: &["crowdsec", "crowdsec-firewall-bouncer"],
        processes: &["crowdsec"],
        tables: &["ip crowdsec*", "ip6 crowdsec*", "inet crowdsec*"],
        chains: &["CROWDSEC"],
        note: "Its bans still apply, to allowed addresses too.",
        ..PLAIN
    },
    Known {
        id: "sshguard",
        name: "sshguard",
        files: &["/etc/sshguard/sshguard.conf"],
        units: &["sshguard"],
        processes: &["sshguard"],
        tables: &["ip sshguard*", "ip6 sshguard*"],
        chains: &["sshguard"],
        note: "Its bans still apply, to allowed addresses too.",
        ..PLAIN
    },
    Known {
        id: "docker",
        name: "Docker",
        files: &["/etc/docker", "/var/lib/docker"],
        units: &["docker"],
        processes: &["dockerd"],
        tables: &["ip docker*", "ip6 docker*"],
        chains: &["DOCKER"],
        policies: &["forward"],
        note: "Its published ports bypass every input chain; Nightlatch filters them before they are forwarded.",
        ..PLAIN
    },
    Known {
        id: "podman",
        name: "Podman",
        files: &["/etc/containers/containers.conf", "/var/lib/containers/storage"],
        units: &["podman"],
        tables: &["inet netavark*"],
        chains: &["NETAVARK", "CNI-"],
        note: "Its published ports bypass every input chain; Nightlatch filters them before they are forwarded.",
        ..PLAIN
    },
    Known {
        id: "libvirt",
        name: "libvirt",
        units: &["libvirtd"],
        processes: &["libvirtd", "virtnetworkd"],
        tables: &["ip libvirt*", "ip6 libvirt*"],
        chains: &["LIBVIRT_"],
        ..PLAIN
    },
    Known {
        id: "csf",
        name: "ConfigServer Firewall (csf, lfd)",
        files: &["/etc/csf/csf.conf"],
        units: &["csf", "lfd"],
        processes: &["lfd"],
        chains: &[
            "LOCALINPUT",
            "LOCALOUTPUT",
            "ALLOWIN",
            "ALLOWOUT",
            "DENYIN",
            "DENYOUT",
            "LOGDROPIN",
            "LOGDROPOUT",
            "INVDROP",
            "INVALID",
            "SPAMHAUS",
            "PORTFLOOD",
        ],
        policies: &["input", "forward", "output"],
        flushes: "empties all rules of iptables when it restarts",
        ..PLAIN
    },
    Known {
        id: "knockd",
        name: "knockd",
        files: &["/etc/knockd.conf"],
        units: &["knockd"],
        processes: &["knockd"],
        note: "A knock adds accepting rules to iptables; they do not override Nightlatch.",
        ..PLAIN
    },
    Known {
        id: "travelin-man",
        name: "Travelin' Man 3",
        files: &[
            "/root/*.iptables",
            "/root/add-ip",
            "/root/add-fqdn",
            "/root/ipchecker",
            "/etc/iptables/rules.v4.tm3",
            "/etc/iptables/rules.v4.ubuntu14",
            "/etc/sysconfig/rules.v4.ubuntu14",
            "/usr/local/sbin/iptables-custom",
            "/usr/local/sbin/iptables-restart",
        ],
        flushes: "loads its own rules file when iptables-restart runs",
        note: "Its accounts no longer have any effect: allow their addresses here too.",
        ..PLAIN
    },
    Known {
        id: "netfilter-persistent",
        name: "netfilter-persistent (iptables-persistent)",
        files: &["/etc/iptables/rules.v4", "/etc/iptables/rules.v6"],
        units: &["netfilter-persistent", "iptables", "ip6tables"],
        note: "It loads the rules of /etc/iptables at boot.",
        ..PLAIN
    },
    Known {
        id: "nftables-service",
        name: "the nftables service",
        files: &["/etc/nftables.conf", "/etc/sysconfig/nftables.conf"],
        files_suffice: false,
        units: &["nftables"],
        note: "It loads /etc/nftables.conf at boot.",
        ..PLAIN
    },
];
