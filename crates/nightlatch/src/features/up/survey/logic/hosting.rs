//! Whether the machine is a rented one.
//!
//! On a rented machine a private network may hold other customers, so it is never proposed.

use super::super::Cloud;

/// What the machine says of itself.
#[derive(Clone, Debug, Default)]
pub struct HostFacts {
    /// The texts of `sys_vendor`, `product_name`, `chassis_asset_tag`, `bios_vendor` in
    /// `/sys/class/dmi/id`.
    pub dmi: Vec<String>,
    /// `/sys/hypervisor/uuid`.
    pub hypervisor_uuid: String,
    /// `/run/cloud-init/cloud-id`, or an empty text.
    pub cloud_id: String,
    /// Whether `/run/cloud-init` is there at all.
    pub cloud_init: bool,
    /// Whether an own interface carries a public address.
    pub public_address: bool,
}

/// What is looked for in the firmware's texts, in lower case, and whose it is.
const BY_FIRMWARE: &[(&str, &str)] = &[
    ("amazon ec2", "Amazon EC2"),
    ("google", "Google Cloud"),
    ("7783-7084-3265-9085-8269-3286-77", "Microsoft Azure"),
    ("digitalocean", "DigitalOcean"),
    ("hetzner", "Hetzner"),
    ("ovhcloud", "OVHcloud"),
    ("vultr", "Vultr"),
    ("linode", "Linode"),
    ("akamai", "Linode"),
    ("scaleway", "Scaleway"),
    ("alibaba", "Alibaba Cloud"),
    ("tencent", "Tencent Cloud"),
    ("huawei cloud", "Huawei Cloud"),
    ("oraclecloud", "Oracle Cloud"),
    ("upcloud", "UpCloud"),
    ("exoscale", "Exoscale"),
    ("netcup", "netcup"),
    ("contabo", "Contabo"),
    ("ionos", "IONOS"),
    ("hostinger", "Hostinger"),
    ("openstack", "OpenStack"),
];

/// The names cloud-init gives, and whose they are.
const BY_CLOUD_INIT: &[(&str, &str)] = &[
    ("aws", "Amazon EC2"),
    ("ec2", "Amazon EC2"),
    ("azure", "Microsoft Azure"),
    ("gce", "Google Cloud"),
    ("digitalocean", "DigitalOcean"),
    ("hetzner", "Hetzner"),
    ("vultr", "Vultr"),
    ("akamai", "Linode"),
    ("scaleway", "Scaleway"),
    ("aliyun", "Alibaba Cloud"),
    ("oracle", "Oracle Cloud"),
    ("upcloud", "UpCloud"),
    ("exoscale", "Exoscale"),
    ("openstack", "OpenStack"),
    ("ibmcloud", "IBM Cloud"),
];

/// Judges by firmware, hypervisor and cloud-init.
///
/// cloud-init without a provider's name (`nocloud`, `configdrive`) is used in cellars too: there
/// a public address on an own interface decides.
pub fn cloud(facts: &HostFacts) -> Cloud {
    let yes = |name: Option<&str>, reason: String| Cloud {
        is_cloud: true,
        name: name.map(str::to_owned),
        reason,
    };
    for text in &facts.dmi {
        let lower = text.to_ascii_lowercase();
        if let Some((_, name)) = BY_FIRMWARE.iter().find(|(mark, _)| lower.contains(mark)) {
            return yes(Some(name), format!("the firmware says \"{}\"", text.trim()));
        }
    }
    if facts.hypervisor_uuid.to_ascii_lowercase().starts_with("ec2") {
        let reason = "the hypervisor's number begins with ec2".to_owned();
        return yes(Some("Amazon EC2"), reason);
    }
    let id = facts.cloud_id.trim().to_ascii_lowercase();
    if let Some((_, name)) =
        BY_CLOUD_INIT.iter().find(|(mark, _)| id == *mark || id.starts_with(&format!("{mark}-")))
    {
        return yes(Some(name), format!("cloud-init says \"{id}\""));
    }
    if facts.cloud_init && facts.public_address {
        let reason = "set up by cloud-init, with a public address of its own".to_owned();
        return yes(None, reason);
    }
    Cloud {
        is_cloud: false,
        name: None,
        reason: "neither the firmware nor cloud-init names a provider".to_owned(),
    }
}
