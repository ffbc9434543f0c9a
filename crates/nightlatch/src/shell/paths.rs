//! Where the configuration, the state and the sockets are.

use std::path::PathBuf;

/// The places, each movable, so that several run side by side in network namespaces.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Places")]
pub struct Paths {
    /// The configuration file
    #[arg(long, global = true, env = "NIGHTLATCH_CONFIG", value_name = "FILE")]
    #[arg(default_value = "/etc/nightlatch/nightlatch.toml")]
    pub config: PathBuf,
    /// The folder of the database
    #[arg(long, global = true, env = "NIGHTLATCH_STATE_DIR", value_name = "DIR")]
    #[arg(default_value = "/var/lib/nightlatch")]
    pub state_dir: PathBuf,
    /// The folder of the sockets
    #[arg(long, global = true, env = "NIGHTLATCH_RUN_DIR", value_name = "DIR")]
    #[arg(default_value = "/run/nightlatch")]
    pub run_dir: PathBuf,
    /// Where the logs and configurations of other programs are looked for, for tests
    #[arg(long, global = true, env = "NIGHTLATCH_ROOT", value_name = "DIR", hide = true)]
    #[arg(default_value = "/")]
    pub root: PathBuf,
}

impl Paths {
    /// The database of accounts, blocks and the audit log.
    pub fn database(&self) -> PathBuf {
        self.state_dir.join("nightlatch.db")
    }

    /// The last good firewall, for a boot at which the database cannot be read.
    pub fn last_good(&self) -> PathBuf {
        self.state_dir.join("last-good.json")
    }

    /// The peers known from this host's own requests.
    pub fn known_peers(&self) -> PathBuf {
        self.state_dir.join("known-peers.json")
    }

    /// Who began connections whose ports do not show it.
    pub fn beginnings(&self) -> PathBuf {
        self.state_dir.join("beginnings")
    }

    /// A note of the long lists that stand in the kernel.
    pub fn lists_stand(&self) -> PathBuf {
        self.run_dir.join("lists-stand.json")
    }

    /// How far logs were read, and what was counted in them.
    pub fn watch_database(&self) -> PathBuf {
        self.state_dir.join("watch.db")
    }

    /// The socket that shows what logs tell, as it happens.
    pub fn watch_socket(&self) -> PathBuf {
        self.run_dir.join("watch.sock")
    }

    /// A file of another program, such as `/var/log/auth.log`.
    pub fn of_others(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The socket that takes requests.
    pub fn control_socket(&self) -> PathBuf {
        self.run_dir.join("control.sock")
    }

    /// The socket that only tells.
    pub fn status_socket(&self) -> PathBuf {
        self.run_dir.join("status.sock")
    }

    /// Whether all three are the usual ones: then the systemd units are for them.
    pub fn are_usual(&self) -> bool {
        self.config.as_os_str() == "/etc/nightlatch/nightlatch.toml"
            && self.state_dir.as_os_str() == "/var/lib/nightlatch"
            && self.run_dir.as_os_str() == "/run/nightlatch"
    }

    /// The options that make another `nightlatch` use the same places.
    pub fn options(&self) -> Vec<std::ffi::OsString> {
        [("--config", &self.config), ("--state-dir", &self.state_dir), ("--run-dir", &self.run_dir)]
            .into_iter()
            .flat_map(|(option, path)| [option.into(), path.clone().into_os_string()])
            .collect()
    }
}
