//! The contract of secret stores: every implementation passes every test here, by one call of
//! [`secret_contract!`](crate::secret_contract!).

use std::sync::Arc;

use runner_core::{ErrorKind, Secret, SecretRef, SecretStore};

/// The value of `vault://app/api#token`, and of nothing else.
pub const CANARY: &str = "canary-\"50%+/ =é";
/// The value of the only key (`password`) at `vault://app/single`.
pub const SINGLE: &str = "canary-single";

/// A store that holds [`CANARY`] at `app/api#token`, something else at `app/api#other`, and [`SINGLE`] at `app/single#password`.
pub struct SecretHarness {
    pub store: Arc<dyn SecretStore>,
    /// Takes the store's files away when the test ends.
    pub guard: Option<tempfile::TempDir>,
}

impl std::fmt::Debug for SecretHarness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretHarness").finish_non_exhaustive()
    }
}

impl SecretHarness {
    #[must_use]
    pub fn keep(mut self, folder: tempfile::TempDir) -> Self {
        self.guard = Some(folder);
        self
    }
}

fn reference(text: &str) -> SecretRef {
    text.parse().expect("a reference")
}

async fn read(harness: &SecretHarness, text: &str) -> String {
    let (secret, _) = harness.store.get(&reference(text)).await.unwrap();
    secret.expose().to_owned()
}

pub async fn a_secret_comes_back_as_it_is(harness: &SecretHarness) {
    assert_eq!(read(harness, "vault://app/api#token").await, CANARY);
    harness.store.probe().await.unwrap();
}

pub async fn without_a_key_the_only_one_is_meant(harness: &SecretHarness) {
    assert_eq!(read(harness, "vault://app/single").await, SINGLE);
    // Of several none is.
    let several = harness.store.get(&reference("vault://app/api")).await;
    assert_eq!(several.unwrap_err().kind(), ErrorKind::Secret);
}

pub async fn keys_are_listed(harness: &SecretHarness) {
    let mut keys = harness.store.keys("app/api").await.unwrap();
    keys.sort();
    assert_eq!(keys, ["other", "token"]);
    let unknown = harness.store.keys("app/unknown").await;
    assert_eq!(unknown.unwrap_err().kind(), ErrorKind::Secret);
}

/// Never an empty string: an empty password would be sent.
pub async fn a_missing_secret_is_an_error_that_says_where_it_looked(harness: &SecretHarness) {
    for text in [
        "vault://app/api#missing",
        "vault://app/unknown#token",
        "vault://app#token",
        "vault://nowhere",
    ] {
        let error = harness.store.get(&reference(text)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Secret, "{text}");
        assert!(error.message().contains(text), "{error}");
        assert!(error.help().is_some_and(|help| !help.is_empty()), "{error}");
        assert!(!error.context().is_empty(), "{error}");
    }
}

pub async fn nothing_that_is_shown_holds_a_value(harness: &SecretHarness) {
    let (secret, version) = harness
        .store
        .get(&reference("vault://app/api#token"))
        .await
        .unwrap();
    let missing = harness
        .store
        .get(&reference("vault://app/api#missing"))
        .await;
    let shown = format!("{:?} {secret:?} {version:?} {missing:?}", harness.store);
    assert!(!shown.contains("canary"), "{shown}");
}

/// A rotated token is written by whoever read the one before it, once.
pub async fn a_put_succeeds_for_the_version_that_was_read(harness: &SecretHarness) {
    let token = reference("vault://app/api#token");
    let (_, first) = harness.store.get(&token).await.unwrap();
    if !harness.store.can_put(&token).await.unwrap() {
        let error = harness
            .store
            .put(&token, Secret::new("canary-new"), &first)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Secret);
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        return;
    }
    let puts = (0..4).map(|number| {
        let new = Secret::new(format!("canary-{number}"));
        harness.store.put(&token, new, &first)
    });
    let outcomes = futures::future::join_all(puts).await;
    let won: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| outcome.as_ref().ok())
        .collect();
    assert_eq!(won.len(), 1, "{outcomes:?}");
    for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
    let (secret, second) = harness.store.get(&token).await.unwrap();
    assert!(secret.expose().starts_with("canary-"));
    assert_eq!(&second, won[0]);
    harness
        .store
        .put(&token, Secret::new("last"), &second)
        .await
        .unwrap();
    assert_eq!(read(harness, "vault://app/api#token").await, "last");
    // Nothing else has changed.
    assert_eq!(read(harness, "vault://app/single").await, SINGLE);
}

/// Makes a test of each of the contract's: `secret_contract!(make)`, where `make()` is a [`SecretHarness`].
#[macro_export]
macro_rules! secret_contract {
    ($make:ident) => {
        $crate::secret_contract!($make,
            a_secret_comes_back_as_it_is without_a_key_the_only_one_is_meant keys_are_listed
            a_missing_secret_is_an_error_that_says_where_it_looked nothing_that_is_shown_holds_a_value
            a_put_succeeds_for_the_version_that_was_read
        );
    };
    ($make:ident, $($name:ident)+) => {
        $(#[tokio::test]
        async fn $name() {
            $crate::secret_contract::$name(&$make()).await;
        })+
    };
}
