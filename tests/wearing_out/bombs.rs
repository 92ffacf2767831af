//! Decompression bombs of the origin's.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::Scene;
use super::wire::{Wire, field};

const MEMBER_BYTES: usize = 8 << 20;
const MEMBERS: usize = 256;

/// 2 MB that stand for 2 GiB.
fn bomb() -> Vec<u8> {
    let mut member = GzEncoder::new(Vec::new(), Compression::new(9));
    let block = vec![b' '; 1 << 20];
    for _ in 0..MEMBER_BYTES >> 20 {
        member.write_all(&block).unwrap();
    }
    let bomb = member.finish().unwrap().repeat(MEMBERS);
    assert!((1 << 20..4 << 20).contains(&bomb.len()), "{}", bomb.len());
    bomb
}

const FIELDS: &str = "content-type: application/json\r\ncontent-encoding: gzip\r\n\
                      cache-control: max-age=60\r\n";

#[tokio::test]
async fn a_bomb_is_taken_apart_no_further_than_an_answer_may_be_stored() {
    let scene = Scene::new(&[], FIELDS, &bomb()).await;
    for asked in 1..=2 {
        let mut client = Wire::connect(scene.storefront).await;
        client.send("GET /Commerce/GetTenderTypes() HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let head = client.head().await;
        let status = field(&head, "cache-status").unwrap();
        assert!(status.ends_with("; detail=too-large"), "{head}");
        assert_eq!(field(&head, "content-encoding"), None);
        // Far past the limit on what is stored; then the client leaves, and the rest never was.
        assert!(client.count(100 << 20).await >= 100 << 20);
        drop(client);
        assert_eq!(scene.metric("csu_edge_unstored_total{reason=\"too-large\"}").await, asked);
    }
    assert_eq!(scene.metric("csu_edge_stored_entries{tier=\"memory\"}").await, 0);
    let peak_mib = scene.node.peak_kib() >> 10;
    println!("peak: {peak_mib} MiB");
    assert!(peak_mib < 64, "{peak_mib} MiB");
}

#[tokio::test]
async fn by_http_s_own_rules_a_bomb_is_not_taken_apart_at_all() {
    let bomb = bomb();
    let scene = Scene::new(&[("CSU_EDGE__GENERIC__POLICY", "rfc9111")], FIELDS, &bomb).await;
    for is_hit in [false, true] {
        let mut client = Wire::connect(scene.storefront).await;
        client.send("GET /media/a.json HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        let head = client.head().await;
        assert_eq!(field(&head, "content-encoding").as_deref(), Some("gzip"));
        assert_eq!(field(&head, "cache-status").unwrap().contains("; hit"), is_hit);
        assert_eq!(client.count(usize::MAX).await, bomb.len());
    }
    let peak_mib = scene.node.peak_kib() >> 10;
    println!("peak: {peak_mib} MiB");
    assert!(peak_mib < 64, "{peak_mib} MiB");
}
