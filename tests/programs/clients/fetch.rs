// A client of Rust's standard library: fetch std URL read|keep COUNT
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

fn fetch(host: &str, path: &str) -> (BufReader<TcpStream>, usize) {
    let mut stream = TcpStream::connect(host).expect("connect");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").expect("write");
    let mut reader = BufReader::with_capacity(4096, stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("head");
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("length");
        }
        if line.trim().is_empty() {
            return (reader, length);
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let rest = arguments[2].strip_prefix("http://").expect("URL");
    let (host, path) = rest.split_at(rest.find('/').expect("path"));
    let mut kept = Vec::new();
    for _ in 0..arguments[4].parse::<usize>().expect("count") {
        let (mut reader, length) = fetch(host, path);
        if arguments[3] == "read" {
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("body");
            println!("{}", body.len());
        } else {
            kept.push(reader);
        }
    }
    std::process::exit(0);
}
