//! Connections over TCP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::error::NetError;

/// How long sent data may remain unacknowledged before the kernel closes the connection. Pings detect a dead peer
/// earlier; this limit ends a task that is blocked in a send.
const USER_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle time before the kernel sends the first keepalive probe.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
/// Interval between two keepalive probes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(3);
/// Unanswered keepalive probes after which the kernel closes the connection.
const KEEPALIVE_RETRIES: u32 = 3;
/// Connections that the kernel queues until they are accepted.
const BACKLOG: i32 = 64;

/// Connects to an address within a time limit.
pub async fn dial(address: SocketAddr, limit: Duration) -> Result<TcpStream, NetError> {
    let stream = match tokio::time::timeout(limit, TcpStream::connect(address)).await {
        Err(_) => {
            return Err(NetError::DialTimeout {
                address,
                after: limit,
            });
        }
        Ok(Err(source)) => return Err(NetError::Dial { address, source }),
        Ok(Ok(stream)) => stream,
    };
    configure(&stream).map_err(|source| NetError::Dial { address, source })?;
    Ok(stream)
}

/// Listens on an address. The unspecified IPv6 address accepts IPv4 connections as well.
pub fn listen(address: SocketAddr) -> Result<TcpListener, NetError> {
    bind(address).map_err(|source| NetError::Listen { address, source })
}

/// Listens on every address of the machine: on `[::]`, or on `0.0.0.0` where the kernel has no IPv6.
pub fn listen_everywhere(port: u16) -> Result<TcpListener, NetError> {
    let v6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
    match bind(v6) {
        Ok(listener) => Ok(listener),
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => Err(NetError::Listen {
            address: v6,
            source: e,
        }),
        Err(_) => listen(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)),
    }
}

/// Accepts the next connection.
pub async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept().await?;
    configure(&stream)?;
    Ok((stream, peer))
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    // A restart must not wait until old connections have left TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn configure(stream: &TcpStream) -> io::Result<()> {
    // Messages are small and answered one by one.
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE_IDLE)
            .with_interval(KEEPALIVE_INTERVAL)
            .with_retries(KEEPALIVE_RETRIES),
    )?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}

#[cfg(test)]
mod tests {
    use linstor_wire::ToSatellite;

    use super::*;
    use crate::{ControllerSide, SatelliteSide};

    /// A listener on every address accepts a connection over IPv4.
    #[tokio::test]
    async fn a_message_crosses_tcp() {
        let listener = listen_everywhere(0).unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let dialled = tokio::spawn(dial(address, Duration::from_secs(5)));
        let (stream, _) = accept(&listener).await.unwrap();
        let mut stlt = SatelliteSide::new(stream);
        let mut ctrl = ControllerSide::new(dialled.await.unwrap().unwrap());
        ctrl.send(&ToSatellite::Ping { id: 1 }).await.unwrap();
        assert_eq!(
            stlt.next().await.unwrap(),
            Some(ToSatellite::Ping { id: 1 })
        );
    }

    /// A refused connection names the address.
    #[tokio::test]
    async fn a_refused_connection_names_the_address() {
        let free = listen(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let error = dial(address, Duration::from_secs(5)).await.unwrap_err();
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
}
