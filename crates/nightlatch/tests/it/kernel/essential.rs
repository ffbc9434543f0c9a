//! What IPv4 and IPv6 cannot live without goes on working under the firewall.
