//! What all HTTP sources of a process share.

use std::sync::Arc;

use super::auth::Tokens;
use super::network::Network;
use super::rate_limit::RateLimits;

/// One per process, handed to every source; clones share it.
#[derive(Clone, Debug, Default)]
pub struct HttpRegistry {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    network: Network,
    rate_limits: RateLimits,
    tokens: Tokens,
}

impl HttpRegistry {
    pub fn new(network: Network) -> Self {
        Self {
            shared: Arc::new(Shared {
                network,
                rate_limits: RateLimits::default(),
                tokens: Tokens::default(),
            }),
        }
    }

    pub fn network(&self) -> &Network {
        &self.shared.network
    }

    pub(crate) fn rate_limits(&self) -> &RateLimits {
        &self.shared.rate_limits
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.shared.tokens
    }
}
