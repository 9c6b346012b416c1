//! Access tokens, shared by every stream and job of the process: one slot per token server, client and scope.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use runner_core::Secret;

/// Every slot of the process; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens {
    slots: Arc<Mutex<HashMap<TokenKey, Arc<TokenSlot>>>>,
}

/// A hash of everything that a token depends on: the map holds no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TokenKey(pub(super) [u8; 32]);

/// Holds the present token. It is locked while a new one is asked for, so that only one request asks.
#[derive(Debug, Default)]
pub(super) struct TokenSlot {
    pub(super) current: tokio::sync::Mutex<Option<Token>>,
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) access: Secret,
    /// When to ask for a new one: shortly before it expires. Absent where the server doesn't say.
    pub(super) renew_at: Option<DateTime<Utc>>,
}

impl Tokens {
    pub(super) fn slot(&self, key: TokenKey) -> Arc<TokenSlot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(key).or_default())
    }
}

impl Token {
    pub(super) fn is_good_at(&self, now: DateTime<Utc>) -> bool {
        self.renew_at.is_none_or(|renew_at| now < renew_at)
    }
}
