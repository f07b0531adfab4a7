//! Bodies of answers, for which memory is reserved until they are sent.

use std::io;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use tempoform_core::{MemoryBudget, Reservation, Result};

/// A body that reserves memory as it grows.
#[derive(Debug)]
pub(crate) struct Body<'a> {
    content: Content,
    memory: &'a MemoryBudget,
}

/// Bytes that hold their memory until the last of them is sent.
#[derive(Debug)]
struct Content {
    bytes: Vec<u8>,
    held: Reservation,
}

impl AsRef<[u8]> for Content {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<'a> Body<'a> {
    /// An empty body.
    ///
    /// # Errors
    /// When the memory ceiling is reached.
    pub(crate) fn empty(memory: &'a MemoryBudget) -> Result<Self> {
        let content = Content { bytes: Vec::new(), held: memory.reserve(0, PURPOSE)? };
        Ok(Self { content, memory })
    }

    /// A message in protobuf.
    ///
    /// # Errors
    /// When the memory ceiling is reached.
    pub(crate) fn protobuf(message: &impl prost::Message, memory: &'a MemoryBudget) -> Result<Self> {
        let held = memory.reserve(message.encoded_len() as u64, PURPOSE)?;
        Ok(Self { content: Content { bytes: message.encode_to_vec(), held }, memory })
    }

    pub(crate) fn into_response(self, content_type: &'static str) -> Response {
        ([(CONTENT_TYPE, content_type)], Bytes::from_owner(self.content)).into_response()
    }

    fn make_room(&mut self, more: usize) -> Result<()> {
        let Content { bytes, held } = &mut self.content;
        let needed = bytes.len() + more;
        if needed > bytes.capacity() {
            let capacity = needed.max(2 * bytes.capacity()).max(LEAST);
            held.absorb(self.memory.reserve((capacity - bytes.capacity()) as u64, PURPOSE)?);
            bytes.reserve_exact(capacity - bytes.len());
        }
        Ok(())
    }
}

const PURPOSE: &str = "an answer";

/// Room made at first.
const LEAST: usize = 1024;

impl io::Write for Body<'_> {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.make_room(part.len()).map_err(io::Error::other)?;
        self.content.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn memory_is_held_until_the_body_is_sent() {
        let memory = MemoryBudget::new(10_000);
        let mut body = Body::empty(&memory).unwrap();
        body.write_all(&[b'a'; 4000]).unwrap();
        let response = body.into_response("text/plain");
        assert!((4000..=10_000).contains(&memory.used()));
        let sent = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(sent.len(), 4000);
        drop(sent);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn what_has_no_room_is_not_written() {
        let memory = MemoryBudget::new(1000);
        let mut body = Body::empty(&memory).unwrap();
        let refused = body.write_all(&[b'a'; 4000]).unwrap_err();
        assert!(refused.to_string().contains("memory ceiling reached: an answer"), "{refused}");
    }
}
