//! Several addresses, IPv4 and IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::common::client::{Channel, Client};
use crate::common::{PASSWORD, Server, USER, eventually, has_ipv6, ours};

#[test]
fn each_address_of_several_serves_clear_text_stls_and_tls() {
    if !ours() {
        return;
    }
    let mut addresses: Vec<IpAddr> = vec![Ipv4Addr::new(127, 0, 0, 2).into()];
    if has_ipv6() {
        addresses.push(Ipv6Addr::LOCALHOST.into());
    }
    let builder = addresses.iter().fold(Server::builder(), |builder, &address| builder.listen_also(address));
    let server = builder.start();
    server.maildir(USER).deliver(b"Subject: x\n\n");
    let mut ports = vec![[server.plain, server.tls]];
    ports.extend(&server.also);
    assert_eq!(ports.len(), 1 + addresses.len());
    for [plain, tls] in ports {
        for (port, channel) in [(plain, Channel::Plain), (plain, Channel::Stls), (tls, Channel::Tls)] {
            let mut client = Client::connect_at(port, &server, channel);
            client.log_in(USER, PASSWORD);
            assert_eq!(client.body("RETR 1"), b"Subject: x\r\n\r\n", "{port}, {channel:?}");
            let peer = client.socket().local_addr().expect("our address").ip();
            client.quit();
            let said = format!("LOGIN, user={USER}, ip=[{peer}], tls=");
            eventually("the log names the client's address", || server.log().contains(&said));
        }
    }
}
