//! The installed fwknop, where it is: its client writes what we read, its server reads what we write.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's helpers may fail the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use nightlatch_parse::spa::{
    self, Address, Authentic, Keys, MAX_TIMEOUT, MAX_USER, MIN_TIME, Message, Protocol, Refused,
    Service,
};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const HMAC_KEY: &str =
    "QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl9gYWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+fw==";

fn keys() -> Keys {
    Keys::from_base64(KEY, HMAC_KEY).unwrap()
}

/// A command, if it is installed.
fn installed(program: &str, package: &str) -> Option<Command> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
    let found = path.split(':').map(|folder| Path::new(folder).join(program));
    let Some(found) = found.into_iter().find(|file| file.exists()) else {
        eprintln!("SKIPPED: {program} is missing (package {package})");
        return None;
    };
    let mut command = Command::new(found);
    command.stdin(Stdio::null());
    Some(command)
}

fn services(text: &str) -> Vec<Service> {
    let service = |text: &str| {
        let (protocol, port) = text.split_once('/').unwrap();
        let protocol = if protocol == "tcp" { Protocol::Tcp } else { Protocol::Udp };
        Service { protocol, port: port.parse().unwrap() }
    };
    text.split(',').map(service).collect()
}

fn message(address: Address, access: &str, client_timeout: Option<u32>) -> Message {
    let (user, time) = ("anna".to_owned(), 1_796_056_711);
    Message { user, time, address, services: services(access), client_timeout }
}

fn given(address: &str) -> Address {
    Address::Given(address.parse().unwrap())
}

/// What is read of the packet that the client writes with these arguments, and the time that it said.
fn of_client(folder: &Path, arguments: &str) -> Option<(Result<Message, Refused>, u64)> {
    let mut command = installed("fwknop", "fwknop-client")?;
    let file = folder.join("packet");
    let file_name = file.to_str().unwrap();
    let fixed = ["--test", "--verbose", "--no-save-args", "-D", "192.0.2.1", "-U", "anna"];
    let keys_given =
        ["--use-hmac", "--key-base64-rijndael", KEY, "--key-base64-hmac", HMAC_KEY, "-B"];
    // It writes into the home folder, whatever it is told.
    command.env("HOME", folder).args(fixed).args(keys_given).arg(file_name);
    let output = command.args(arguments.split(' ')).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let time = said.lines().find_map(|line| line.trim().strip_prefix("Timestamp: "));
    let time = time.unwrap_or_else(|| panic!("{output:?}")).parse().unwrap();
    let packet = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let keys = keys();
    Some((spa::authenticate(packet.trim_ascii(), &keys).unwrap().open(), time))
}

#[test]
fn messages_of_the_client_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let six = given("198.51.100.6");
    for (arguments, expected) in [
        ("-s -A udp/5060", Ok(message(Address::Source, "udp/5060", None))),
        ("-a 198.51.100.6 -A udp/5060,tcp/5061", Ok(message(six, "udp/5060,tcp/5061", None))),
        ("-a 198.51.100.6 -A tcp/65535 -f 60", Ok(message(six, "tcp/65535", Some(60)))),
        ("-s -A tcp/1 -f 0", Ok(message(Address::Source, "tcp/1", None))),
        ("-a 198.51.100.6 -C id", Err(Refused::Command)),
        ("-a 198.51.100.6 -A tcp/22 -N 192.0.2.9,22", Err(Refused::Nat)),
        ("-a 198.51.100.6 -A tcp/22 -N 192.0.2.9,22 -f 9", Err(Refused::NatTimeout)),
        ("-a 198.51.100.6 -A tcp/22 --nat-local --nat-port 22", Err(Refused::LocalNat)),
        ("-a 198.51.100.6 -A tcp/22 --nat-local --nat-port 22 -f 9", Err(Refused::LocalNatTimeout)),
        ("-s -A tcp/22 -m md5", Err(Refused::Digest)),
        ("-s -A tcp/22 -M OFB", Err(Refused::Decryption)),
    ] {
        let Some((read, time)) = of_client(folder.path(), arguments) else { return };
        let expected = expected.map(|message| Message { time, ..message });
        assert_eq!(read, expected, "{arguments}");
    }
}

/// How often the client is asked: its random values show what seldom happens, e.g. in base64.
const PACKETS: usize = 100;

#[test]
fn every_message_of_the_client_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..PACKETS {
        let Some((read, _)) = of_client(folder.path(), "-s -A udp/5060,tcp/443") else { return };
        assert_eq!(read.unwrap().services, services("udp/5060,tcp/443"));
    }
}

#[test]
fn the_server_reads_what_is_written() {
    let Some(mut command) = installed("fwknopd", "fwknop-server") else { return };
    let longest = "udp/60000,".repeat(10) + "tcp/60000";
    let messages = [
        message(Address::Source, "udp/5060", None),
        message(given("198.51.100.6"), "udp/5060,tcp/5061,tcp/443,udp/10000", None),
        message(given("203.0.113.255"), "tcp/65535", Some(60)),
        message(given("198.51.100.6"), "tcp/1", Some(MAX_TIMEOUT)),
        Message { user: "a".repeat(MAX_USER), ..message(Address::Source, "udp/5060", None) },
        message(given("198.51.100.250"), &longest, None),
        Message { time: MIN_TIME, ..message(given("198.51.100.6"), "udp/5060", None) },
    ];
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let write = |name: &str, text: &[u8]| {
        fs::write(at(name), text).unwrap();
        // It refuses what others can read.
        fs::set_permissions(at(name), fs::Permissions::from_mode(0o600)).unwrap();
    };
    let payloads = messages.iter().zip(1_u128..);
    let payloads =
        payloads.map(|(message, random)| message.write(&keys(), random << 60 | random).unwrap());
    let payloads: Vec<String> = payloads.collect();
    write(
        "access",
        format!("SOURCE ANY\nKEY_BASE64 {KEY}\nHMAC_KEY_BASE64 {HMAC_KEY}\n").as_bytes(),
    );
    write("config", b"ENABLE_SPA_PACKET_AGING N;\n");
    write("packets", &capture(&payloads));
    let count = messages.len().to_string();
    command.args(["--test", "--foreground", "--verbose", "--packet-limit", &count]);
    for (option, name) in [
        ("--pcap-file", "packets"),
        ("--access-file", "access"),
        ("--config-file", "config"),
        ("--run-dir", "run"),
        ("--pid-file", "pid"),
        ("--digest-file", "digests"),
    ] {
        command.arg(option).arg(at(name));
    }
    fs::create_dir(at("run")).unwrap();
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    let all = |name: &str| -> Vec<String> {
        let lines = said.lines().filter_map(|line| line.trim().strip_prefix(name));
        lines.map(|value| value.trim().to_owned()).collect()
    };
    assert_eq!(said.matches("SPA Decode (res=0)").count(), messages.len(), "{said}");
    let expected =
        |each: &dyn Fn(&Message) -> String| -> Vec<String> { messages.iter().map(each).collect() };
    assert_eq!(all("Username:"), expected(&|it| it.user.clone()));
    assert_eq!(all("Timestamp:"), expected(&|it| it.time.to_string()));
    let timeout = |it: &Message| it.client_timeout.unwrap_or_default().to_string();
    assert_eq!(all("Client Timeout:"), expected(&timeout));
    let request = |it: &Message| {
        let services: Vec<String> = it.services.iter().map(Service::to_string).collect();
        let address = match it.address {
            Address::Source => "0.0.0.0".to_owned(),
            Address::Given(address) => address.to_string(),
        };
        format!("{address},{}", services.join(","))
    };
    assert_eq!(all("Message String:"), expected(&request));
    // The server takes those of 400 characters and more for messages of GPG.
    assert_eq!(payloads.iter().map(String::len).max(), Some(396));
    // What the server reads, we read.
    for (payload, message) in payloads.iter().zip(messages) {
        let read = spa::authenticate(payload.as_bytes(), &keys()).map(Authentic::open);
        assert_eq!(read.unwrap(), Ok(message));
    }
}

/// A file of captured packets, each a UDP datagram to fwknop's usual port.
fn capture(payloads: &[String]) -> Vec<u8> {
    let header: [u32; 6] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1];
    let mut file: Vec<u8> = header.into_iter().flat_map(u32::to_le_bytes).collect();
    for payload in payloads {
        let length = |headers: usize| u16::try_from(payload.len() + headers).unwrap().to_be_bytes();
        let mut frame = vec![0; 12];
        frame.extend([8, 0, 0x45, 0]);
        frame.extend(length(28));
        frame.extend([0, 0, 0, 0, 64, 17, 0, 0, 198, 51, 100, 7, 192, 0, 2, 1]);
        frame.extend([40_000_u16, 62_201].into_iter().flat_map(u16::to_be_bytes));
        frame.extend(length(8));
        frame.extend([0, 0]);
        frame.extend(payload.as_bytes());
        let size = u32::try_from(frame.len()).unwrap();
        file.extend([1, 0, size, size].into_iter().flat_map(u32::to_le_bytes));
        file.extend(frame);
    }
    file
}
