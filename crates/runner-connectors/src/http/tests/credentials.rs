//! Every kind of credentials against a server that checks them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::Mac as _;
use runner_core::ErrorKind;
use runner_plan::model::Body;
use runner_spec::model::{AuthKind, HmacAlgorithm, HmacEncoding, KeyLocation, OauthGrant};
use serde_json::json;

use super::fixture::{Fixture, Vault, chain, read};
use super::server::{Answer, Asked, Server, rows};

type Check = fn(&Asked) -> bool;

fn page() -> Answer {
    Answer::json(&json!({"data": rows(2, 0, 2)}))
}

fn vault(secrets: &[(&str, &str)]) -> Arc<Vault> {
    let secrets: Vec<_> = secrets
        .iter()
        .map(|(key, value)| (format!("vault://feeds/api#{key}"), *value))
        .collect();
    let vault = Vault::default();
    for (reference, value) in secrets {
        vault.set(&reference, value);
    }
    Arc::new(vault)
}

#[tokio::test]
async fn keys_tokens_and_passwords_arrive_as_they_should() {
    let cases: [(AuthKind, Check); 4] = [
        (
            AuthKind::ApiKey {
                name: "X-Api-Key".to_owned(),
                location: KeyLocation::Header,
                value: "{{ secrets.key }}".to_owned(),
            },
            |asked| asked.header("x-api-key") == Some("k3y+/= &"),
        ),
        (
            AuthKind::ApiKey {
                name: "apiKey".to_owned(),
                location: KeyLocation::Query,
                value: "{{ key }}".to_owned(),
            },
            |asked| asked.query["apiKey"] == "k3y+/= &" && asked.query["limit"] == "5",
        ),
        (
            AuthKind::Bearer {
                token: "{{ key }}".to_owned(),
            },
            |asked| asked.header("authorization") == Some("Bearer k3y+/= &"),
        ),
        (
            AuthKind::Basic {
                username: "jo:e".to_owned(),
                password: "{{ key }}".to_owned(),
            },
            |asked| {
                asked.header("authorization")
                    == Some(&format!("Basic {}", STANDARD.encode("jo:e:k3y+/= &")))
            },
        ),
    ];
    for (auth, is_right) in cases {
        let server = Server::start(move |asked| {
            if is_right(asked) {
                page()
            } else {
                Answer::status(401)
            }
        })
        .await;
        let mut fixture = Fixture::new(&server.url)
            .auth(auth.clone())
            .secrets(&["key"]);
        fixture.http.query = vec![("limit".to_owned(), "5".into())];
        fixture.store = vault(&[("key", "k3y+/= &")]);
        assert_eq!(fixture.read().await.unwrap().ids, [0, 1], "{auth:?}");
    }
}

#[tokio::test]
async fn a_missing_secret_is_an_error_before_the_first_request() {
    let server = Server::start(|_| page()).await;
    let mut fixture = Fixture::new(&server.url)
        .auth(AuthKind::Bearer {
            token: "{{ key }}".to_owned(),
        })
        .secrets(&["key"]);
    fixture.store = vault(&[]);
    let error = fixture.fails().await;
    assert_eq!(error.kind(), ErrorKind::Secret);
    assert!(
        error.to_string().contains("vault://feeds/api#key"),
        "{error}"
    );
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn a_refused_key_is_one_error_of_kind_auth_that_says_what_to_do() {
    let server =
        Server::start(|_| Answer::new(401, "application/json", r#"{"message": "bad key"}"#)).await;
    let mut fixture = Fixture::new(&server.url)
        .auth(AuthKind::Bearer {
            token: "{{ key }}".to_owned(),
        })
        .secrets(&["key"]);
    fixture.store = vault(&[("key", "wrong-key")]);
    let error = fixture.fails().await;
    assert_eq!(error.kind(), ErrorKind::Auth);
    for part in ["stream: items", "GET http://127.0.0.1", "bad key"] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    assert!(error.help().unwrap().contains("auth_config"));
    assert_eq!(server.count(), 1);
}

fn oauth(grant: OauthGrant, token_url: &str) -> AuthKind {
    AuthKind::Oauth2 {
        grant,
        token_url: token_url.to_owned(),
        client_id: "client:1".to_owned(),
        client_secret: Some("{{ client_secret }}".to_owned()),
        refresh_token: (grant == OauthGrant::RefreshToken)
            .then(|| "{{ refresh_token }}".to_owned()),
        scopes: vec!["read".to_owned(), "write".to_owned()],
        audience: Some("https://api".to_owned()),
    }
}

fn oauth_fixture(api: &Server, tokens: &Server, grant: OauthGrant) -> Fixture {
    let mut fixture = Fixture::new(&format!("{}/items", api.url))
        .auth(oauth(grant, &format!("{}/token", tokens.url)))
        .secrets(&["client_secret", "refresh_token"]);
    fixture.store = vault(&[
        ("client_secret", "s3cret/&"),
        ("refresh_token", "refresh-0"),
    ]);
    fixture
}

fn form(asked: &Asked) -> std::collections::BTreeMap<String, String> {
    url::form_urlencoded::parse(&asked.body)
        .into_owned()
        .collect()
}

/// A token server that numbers its tokens, and an API that takes only the tokens from `first_good` on.
async fn token_server(expires_in: u64) -> Server {
    let issued = AtomicUsize::new(0);
    Server::start(move |asked| {
        let form = form(asked);
        let basic = format!("Basic {}", STANDARD.encode("client%3A1:s3cret%2F%26"));
        if asked.header("authorization") != Some(&basic) {
            return Answer::new(401, "application/json", r#"{"error": "invalid_client"}"#);
        }
        assert_eq!(form["scope"], "read write");
        assert_eq!(form["audience"], "https://api");
        let number = issued.fetch_add(1, Ordering::SeqCst);
        let mut answer = json!({"access_token": format!("access-{number}"), "token_type": "Bearer", "expires_in": expires_in});
        if form["grant_type"] == "refresh_token" {
            if form["refresh_token"] != format!("refresh-{number}") {
                return Answer::new(400, "application/json", r#"{"error": "invalid_grant"}"#);
            }
            answer["refresh_token"] = json!(format!("refresh-{}", number + 1));
        }
        Answer::json(&answer).after(Duration::from_millis(20))
    })
    .await
}

async fn api(first_good: usize) -> Server {
    Server::start(move |asked| {
        let token = asked.header("authorization").unwrap_or_default();
        let number = token
            .strip_prefix("Bearer access-")
            .and_then(|number| number.parse::<usize>().ok());
        if number.is_some_and(|number| number >= first_good) {
            page()
        } else {
            Answer::status(401)
        }
    })
    .await
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_shared_by_all_who_need_it() {
    let (api, tokens) = (api(0).await, token_server(3600).await);
    let mut fixture = oauth_fixture(&api, &tokens, OauthGrant::ClientCredentials);
    fixture.stream.parallelism = 8;
    let source = Arc::new(fixture.source());
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let source = Arc::clone(&source);
        tasks.push(tokio::spawn(async move {
            read(&source, chain(&[]), None).await.unwrap().ids
        }));
    }
    for task in tasks {
        assert_eq!(task.await.unwrap(), [0, 1]);
    }
    // Another stream of the same client, in another run.
    fixture.read().await.unwrap();
    assert_eq!(tokens.count(), 1);
    assert_eq!(api.count(), 9);
}

#[tokio::test]
async fn a_token_that_is_about_to_expire_is_renewed() {
    let (api, tokens) = (api(0).await, token_server(1).await);
    let fixture = oauth_fixture(&api, &tokens, OauthGrant::ClientCredentials);
    fixture.read().await.unwrap();
    fixture.read().await.unwrap();
    assert_eq!(tokens.count(), 1);
    tokio::time::sleep(Duration::from_millis(950)).await;
    fixture.read().await.unwrap();
    assert_eq!(tokens.count(), 2);
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let (revoking, tokens) = (api(1).await, token_server(3600).await);
    let fixture = oauth_fixture(&revoking, &tokens, OauthGrant::ClientCredentials);
    assert_eq!(fixture.read().await.unwrap().ids, [0, 1]);
    assert_eq!((revoking.count(), tokens.count()), (2, 2));

    let (refusing, tokens) = (api(99).await, token_server(3600).await);
    let fixture = oauth_fixture(&refusing, &tokens, OauthGrant::ClientCredentials);
    let error = fixture.fails().await;
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert_eq!((refusing.count(), tokens.count()), (2, 2));
}

#[tokio::test]
async fn a_rotated_refresh_token_is_written_back_before_its_access_token_is_used() {
    let tokens = token_server(1).await;
    let fixture_slot: Arc<std::sync::OnceLock<Arc<Vault>>> = Arc::default();
    let store = Arc::clone(&fixture_slot);
    let api = Server::start(move |asked| {
        let number: usize = asked
            .header("authorization")
            .unwrap()
            .rsplit('-')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        let stored = store
            .get()
            .unwrap()
            .value("vault://feeds/api#refresh_token");
        assert_eq!(
            stored,
            Some(format!("refresh-{}", number + 1)),
            "when the token is used"
        );
        page()
    })
    .await;
    let fixture = oauth_fixture(&api, &tokens, OauthGrant::RefreshToken);
    fixture_slot.set(Arc::clone(&fixture.store)).unwrap();
    fixture.read().await.unwrap();
    tokio::time::sleep(Duration::from_millis(950)).await;
    // The second run has a memory of its own: it finds the rotated token in the store.
    fixture.read().await.unwrap();
    assert_eq!(tokens.count(), 2);
    assert_eq!(form(&tokens.asked()[1])["refresh_token"], "refresh-1");
}

#[tokio::test]
async fn a_store_that_cannot_be_written_makes_rotation_an_error() {
    let (api, tokens) = (api(0).await, token_server(3600).await);
    let mut fixture = oauth_fixture(&api, &tokens, OauthGrant::RefreshToken);
    let mut read_only = Vault::with(&[
        ("vault://feeds/api#client_secret", "s3cret/&"),
        ("vault://feeds/api#refresh_token", "refresh-0"),
    ]);
    read_only.read_only = true;
    fixture.store = Arc::new(read_only);
    let error = fixture.fails().await;
    assert_eq!(error.kind(), ErrorKind::Secret);
    assert!(error.message().contains("rotated"), "{error}");
    assert!(!error.chain().contains("refresh-1"), "{error}");
    assert_eq!(api.count(), 0);
}

#[tokio::test]
async fn a_token_server_that_wants_the_secret_in_the_body_gets_it_there() {
    let api = api(0).await;
    let tokens = Server::start(|asked| {
        let form = form(asked);
        if form.get("client_secret").map(String::as_str) == Some("s3cret/&")
            && form["client_id"] == "client:1"
        {
            return Answer::json(&json!({"access_token": "access-0"}));
        }
        Answer::new(
            400,
            "application/json",
            r#"{"error": "invalid_client", "error_description": "no client"}"#,
        )
    })
    .await;
    let fixture = oauth_fixture(&api, &tokens, OauthGrant::ClientCredentials);
    assert_eq!(fixture.read().await.unwrap().ids, [0, 1]);
}

#[tokio::test]
async fn what_a_token_server_refuses_is_told_without_secrets() {
    let api = api(0).await;
    for (answer, kind, text) in [
        (
            || {
                Answer::new(
                    400,
                    "application/json",
                    r#"{"error": "invalid_scope", "error_description": "no s3cret/& here"}"#,
                )
            },
            ErrorKind::Auth,
            "invalid_scope: no {{secret:",
        ),
        (
            || Answer::new(200, "text/html", "<html>"),
            ErrorKind::Auth,
            "not JSON",
        ),
        (
            || Answer::json(&json!({"token_type": "Bearer"})),
            ErrorKind::Auth,
            "no access token",
        ),
        (
            || Answer::status(503),
            ErrorKind::SourceUnavailable,
            "status 503",
        ),
    ] as [(fn() -> Answer, ErrorKind, &str); 4]
    {
        let tokens = Server::start(move |_| answer()).await;
        let mut fixture = oauth_fixture(&api, &tokens, OauthGrant::ClientCredentials);
        fixture.http.retry.max_retries = 1;
        let error = fixture.fails().await;
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(text), "{error}");
        assert!(!error.chain().contains("s3cret"), "{error}");
    }
    assert_eq!(api.count(), 0);
}

/// The signatures were computed by Python's `hmac` module.
#[tokio::test]
async fn signed_requests_carry_what_another_implementation_computes() {
    let string = "{{ method }}\n{{ path }}\n{{ query }}\n{{ body_sha256 }}";
    let cases = [
        (HmacAlgorithm::Sha256, HmacEncoding::Hex, SHA256_HEX),
        (HmacAlgorithm::Sha512, HmacEncoding::Base64, SHA512_BASE64),
        (HmacAlgorithm::Sha1, HmacEncoding::Hex, SHA1_HEX),
    ];
    for (algorithm, encoding, expected) in cases {
        let server = Server::start(|_| page()).await;
        let mut fixture = Fixture::new(&format!("{}/v1/a%20b", server.url))
            .auth(AuthKind::Hmac {
                algorithm,
                secret: "{{ secrets.signing }}".to_owned(),
                string_to_sign: string.to_owned(),
                header: "X-Signature".to_owned(),
                timestamp_header: Some("X-Timestamp".to_owned()),
                encoding,
            })
            .secrets(&["secrets.signing"]);
        fixture.store = vault(&[("signing", "k3y ü")]);
        fixture.http.method = "POST".to_owned();
        fixture.http.query = vec![
            ("q".to_owned(), "a b&c".into()),
            ("n".to_owned(), "1".into()),
        ];
        fixture.http.body = Some(Body::Text("{\"x\": 1}".into()));
        fixture.read().await.unwrap();
        let asked = &server.asked()[0];
        assert_eq!(asked.raw_query, "q=a+b%26c&n=1");
        assert_eq!(asked.header("x-signature"), Some(expected), "{algorithm:?}");
        assert!(asked.header("x-timestamp").unwrap().parse::<u64>().unwrap() > 1_700_000_000);
    }
}

const SHA256_HEX: &str = "13b41092824d22070dae1f319b587a9c6d8b54b87699fc16fa5f047ba353a4ba";
const SHA512_BASE64: &str =
    "5gma5FcFslGgKLbOoIBgt/rrfQHO+2wgWL50gYRY+kx85RqtK0T5//Qh1FrdZVOVTt5LqaCC/nYPbigLPdZbgA==";
const SHA1_HEX: &str = "20f8a08865f07490609bee3b4e7f669aa5f47652";

/// The signed timestamp is the one that the header carries.
#[tokio::test]
async fn a_signed_timestamp_is_sent_as_it_was_signed() {
    let server = Server::start(|_| page()).await;
    let mut fixture = Fixture::new(&server.url)
        .auth(AuthKind::Hmac {
            algorithm: HmacAlgorithm::Sha256,
            secret: "{{ secrets.signing }}".to_owned(),
            string_to_sign: "{{ timestamp_ms }}{{ method }}".to_owned(),
            header: "X-Signature".to_owned(),
            timestamp_header: Some("X-Timestamp".to_owned()),
            encoding: HmacEncoding::Hex,
        })
        .secrets(&["secrets.signing"]);
    fixture.store = vault(&[("signing", "signing-key")]);
    fixture.read().await.unwrap();
    let asked = &server.asked()[0];
    let timestamp = asked.header("x-timestamp").unwrap();
    assert_eq!(timestamp.len(), 13, "milliseconds");
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(b"signing-key").unwrap();
    mac.update(format!("{timestamp}GET").as_bytes());
    assert_eq!(
        asked.header("x-signature"),
        Some(hex::encode(mac.finalize().into_bytes()).as_str())
    );
}
