//! Estimates never overstate what people and programs make, and keep what is random.

use super::super::estimate;
use super::{alphanumeric, random};

#[test]
fn what_people_make_up_is_far_below_the_floor() {
    for value in [
        "correct-horse-battery-staple-2026",
        "Password1234567890!Password1234567890!",
        "ThisIsMyVerySecretDatabasePassword",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "abcdefghijklmnopqrstuvwxyz0123456789",
        "qwertyuiopqwertyuiopqwertyuiopqwertyuiop",
        "please-change-me-before-production-use!!",
        "00000000-0000-0000-0000-000000000000",
        "postgresql://orders_app:hunter2@db-17.prod-eu1.example.internal:5432/orders?sslmode=require",
        r#"{"username": "orders_app", "password": "hunter2!", "host": "db-17.prod-eu1.example.internal"}"#,
        "Server=tcp:db17.example.net,1433;Database=orders;User ID=app;Password=hunter2;Encrypt=True;",
        "The quick brown fox jumps over the lazy dog and runs away from 3 bears.",
    ] {
        let bits = estimate(value.as_bytes());
        assert!(bits < 108.0, "{bits:.0} bits for {value}");
        let encoded = data_encoding::BASE64.encode(value.as_bytes());
        assert!(estimate(encoded.as_bytes()) < 140.0 || value.len() > 60, "base64 of {value}");
    }
    let token =
        [r#"{"alg":"HS256","typ":"JWT"}"#, r#"{"sub":"1234567890","name":"A Person","iat":1516239022}"#]
            .map(|part| data_encoding::BASE64URL_NOPAD.encode(part.as_bytes()));
    assert!(estimate(token.join(".").as_bytes()) < 60.0, "claims are known");
}

#[test]
fn what_is_random_is_kept_and_never_overstated() {
    let mut unlucky = 0;
    for seed in 0..300 {
        let text = String::from_utf8(alphanumeric(seed, 32)).unwrap();
        let hex = data_encoding::HEXLOWER.encode(&random(seed, 32));
        let base64 = data_encoding::BASE64.encode(&random(seed, 32));
        let url = format!("https://user:{text}@example.com/path");
        let bytes = random(seed, 32);
        let cases =
            [(text.as_bytes(), 190.6), (hex.as_bytes(), 256.0), (base64.as_bytes(), 256.0), (&bytes, 256.0)];
        for (value, true_bits) in [cases.as_slice(), &[(url.as_bytes(), 190.6)]].concat() {
            let bits = estimate(value);
            assert!(bits > 100.0, "{bits:.0} bits for {value:?}");
            assert!(bits <= true_bits + 4.0, "{bits:.0} bits for {value:?}");
            // What 100,000 values need.
            unlucky += u32::from(bits < 128.0);
        }
        let id = data_encoding::HEXLOWER.encode(&random(seed, 16));
        let uuid = format!("{}-{}-4{}-8{}-{}", &id[..8], &id[8..12], &id[13..16], &id[17..20], &id[20..32]);
        let bits = estimate(uuid.as_bytes());
        assert!((80.0..=122.0).contains(&bits), "{bits:.0} bits for {uuid}");
    }
    assert!(unlucky <= 20, "{unlucky} of 1500 random values would be left out");
}
