//! Settings of the network that hold for every document.

/// How this process reaches HTTP servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    pub user_agent: String,
    /// PEM texts of certificate authorities trusted beside the system's own.
    pub certificate_authorities: Vec<String>,
    pub egress: Egress,
}

/// Which addresses may be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Egress {
    /// Any: the `local` profile, where the caller asks from their own machine.
    #[default]
    Any,
    /// Loopback, link-local, private and otherwise special addresses are refused, by the resolved address and not by the name.
    /// Proxies from the environment are not used then, since they would resolve the name themselves.
    PublicOnly {
        /// Hosts (`db.internal`) and networks (`10.1.0.0/16`) that are allowed all the same.
        allowed: Vec<String>,
    },
}

impl Default for Network {
    fn default() -> Self {
        Self {
            user_agent: concat!("ingestion-runner/", env!("CARGO_PKG_VERSION")).to_owned(),
            certificate_authorities: Vec::new(),
            egress: Egress::default(),
        }
    }
}
