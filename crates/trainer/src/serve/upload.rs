//! Takes in a photo, within limits.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::refusal::{Refusal, machine};
use crate::photo::{LONGEST, Photo};

/// Bytes of all uploads together that are held at once.
const MOST_HELD: usize = 4 * LONGEST;
/// Photos that are decoded at once: a large one takes half a gigabyte while it is.
const MOST_DECODED: usize = 2;
/// How long a client may be silent within an upload.
const LONGEST_SILENCE: Duration = Duration::from_secs(10);
/// How long one upload may take.
const LONGEST_UPLOAD: Duration = Duration::from_secs(60);
/// What is read and thrown away of a refused upload, so that its client gets to read the answer.
const MOST_DISCARDED: usize = MOST_HELD;
/// How long that may take.
const LONGEST_DISCARD: Duration = Duration::from_secs(5);

/// The room for uploads.
#[derive(Debug)]
pub struct Uploads {
    /// A permit for each byte that may be held.
    room: Arc<Semaphore>,
    /// A permit for each photo that may be decoded.
    turns: Arc<Semaphore>,
}

impl Default for Uploads {
    fn default() -> Self {
        Self {
            room: Arc::new(Semaphore::new(MOST_HELD)),
            turns: Arc::new(Semaphore::new(MOST_DECODED)),
        }
    }
}

impl Uploads {
    /// The photo that a request carries.
    ///
    /// # Errors
    /// [`Refusal`] where it is none, is too large, or does not arrive.
    pub async fn photo(&self, mut body: Body) -> Result<Photo, Refusal> {
        let read = timeout(LONGEST_UPLOAD, self.read(&mut body)).await;
        let (bytes, room) = match read.unwrap_or(Err(Refusal::Slow)) {
            Ok(read) => read,
            Err(refusal) => {
                discard(body);
                return Err(refusal);
            }
        };
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|error| machine(&error))?;
        let decoded = spawn_blocking(move || {
            // Both are given back when the bytes are gone, whether anybody still waits or not.
            let (_room, _turn) = (room, turn);
            Photo::decode(&bytes)
        });
        Ok(decoded.await.map_err(|error| machine(&error))??)
    }

    /// An upload's bytes, and the room that they take.
    async fn read(
        &self,
        body: &mut Body,
    ) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), Refusal> {
        if body.size_hint().lower() > LONGEST as u64 {
            return Err(Refusal::TooLong);
        }
        let (mut bytes, mut room) = (Vec::new(), None::<OwnedSemaphorePermit>);
        loop {
            let part = timeout(LONGEST_SILENCE, next_part(body)).await;
            let Some(part) = part.map_err(|_| Refusal::Slow)? else {
                return Ok((bytes, room));
            };
            let received = bytes.len();
            let part = part.map_err(|_| Refusal::Cut { received })?;
            if received + part.len() > LONGEST {
                return Err(Refusal::TooLong);
            }
            let taken = self.take(part.len())?;
            match &mut room {
                Some(room) => room.merge(taken),
                None => room = Some(taken),
            }
            bytes.extend_from_slice(&part);
        }
    }

    fn take(&self, length: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let length = u32::try_from(length).map_err(|_| Refusal::TooLong)?;
        let taken = Arc::clone(&self.room).try_acquire_many_owned(length);
        taken.map_err(|_| Refusal::Busy)
    }
}

/// The next bytes of a body; nothing at its end.
async fn next_part(body: &mut Body) -> Option<Result<Bytes, axum::Error>> {
    loop {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
        match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(bytes)) => return Some(Ok(bytes)),
            // Trailers hold nothing of a photo.
            Ok(Err(_)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

/// Reads what is left of a refused request's body, within limits, and throws it away while the client
/// gets its answer: a client that still sends when its connection closes may lose the answer.
pub fn discard(mut body: Body) {
    if body.is_end_stream() {
        return;
    }
    tokio::spawn(timeout(LONGEST_DISCARD, async move {
        let mut rest = MOST_DISCARDED;
        while let Some(Ok(part)) = next_part(&mut body).await {
            rest = match rest.checked_sub(part.len()) {
                Some(rest) => rest,
                None => break,
            };
        }
    }));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn uploads_together_hold_no_more_than_their_room_and_give_it_back() {
        let uploads = Uploads::default();
        let taken: Vec<_> = (0..4).map(|_| uploads.take(LONGEST).unwrap()).collect();
        assert!(matches!(uploads.take(1), Err(Refusal::Busy)));
        drop(taken);
        assert!(uploads.take(MOST_HELD).is_ok());
        assert!(uploads.take(usize::MAX).is_err());
    }

    #[test]
    fn an_upload_gives_its_room_and_its_turn_back_whether_it_is_a_photo_or_not() {
        let uploads = Uploads::default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let jpeg = include_bytes!("../../tests/files/turned.jpg");
        runtime.block_on(async {
            assert!(uploads.photo(Body::from(&jpeg[..])).await.is_ok());
            for bad in [&jpeg[..1000], b"no photo", b""] {
                assert!(uploads.photo(Body::from(bad)).await.is_err());
            }
            let long = vec![0; LONGEST + 1];
            let refused = uploads.photo(Body::from(long)).await;
            assert!(matches!(refused, Err(Refusal::TooLong)));
        });
        assert_eq!(uploads.room.available_permits(), MOST_HELD);
        assert_eq!(uploads.turns.available_permits(), MOST_DECODED);
    }
}
