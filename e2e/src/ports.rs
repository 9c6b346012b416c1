//! Free ports of the loopback address.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context as _, Result};

/// A port that nobody listens on at this moment.
pub fn free_port() -> Result<u16> {
    Ok(free_ports(1)?[0])
}

/// `count` different ports that nobody listens on at this moment.
pub fn free_ports(count: usize) -> Result<Vec<u16>> {
    // All are held until the last is found, so that no port is handed out twice.
    let listeners: Vec<TcpListener> = (0..count).map(|_| listen(0)).collect::<Result<_>>()?;
    listeners
        .iter()
        .map(|listener| Ok(listener.local_addr()?.port()))
        .collect()
}

/// A free port whose distant companion (`port + distance`) is free too, for servers that derive one from the other.
pub(crate) fn free_port_with_companion(distance: u16) -> Result<u16> {
    const ATTEMPTS: usize = 200;
    for _ in 0..ATTEMPTS {
        let port = free_port()?;
        if port
            .checked_add(distance)
            .is_some_and(|companion| listen(companion).is_ok())
        {
            return Ok(port);
        }
    }
    anyhow::bail!(
        "found no free port whose companion {distance} above it is free, in {ATTEMPTS} attempts"
    )
}

fn listen(port: u16) -> Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .with_context(|| format!("failed to bind 127.0.0.1:{port}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ports_handed_out_together_differ() {
        let ports = free_ports(20).unwrap();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 20);
    }

    #[test]
    fn a_companion_is_within_the_range_of_ports() {
        let port = free_port_with_companion(10_000).unwrap();
        assert!(port <= u16::MAX - 10_000);
    }
}
