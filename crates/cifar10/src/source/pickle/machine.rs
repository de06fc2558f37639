//! The stack machine for pickles of protocol 2, cut down to what CIFAR-10's batches use.
//!
//! The opcodes are those of Python's `pickletools`. One opcode pushes at most one value and keeps
//! at most one in the memo, so the limit on opcodes also bounds the stack, the memo and all
//! lists. Strings stay where they are in the input; only what `_codecs.encode` makes is copied,
//! and has a limit of its own. Values refer to each other by index, so nothing recurses.

use std::borrow::Cow;
use std::collections::HashMap;

use super::MAX_BYTES;

/// A batch takes 30,000 opcodes as written by Python 2, and up to 90,000 by Python 3.
const MAX_OPCODES: usize = 200_000;

/// A value on the stack. Containers are indices into the machine's lists of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Bytes(Bytes),
    Text(Bytes),
    Tuple(usize),
    List(usize),
    Dict(usize),
    Array(usize),
    /// The type of an array's elements; there is only the byte.
    ByteType,
    Global(Global),
}

/// Where a string's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bytes {
    Input { start: usize, end: usize },
    Encoded(usize),
}

/// The functions and classes that a batch may name. They are only names here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    /// `numpy.core.multiarray._reconstruct`, which makes an empty array.
    Reconstruct,
    /// `numpy.ndarray`, its first argument.
    NdArray,
    /// `numpy.dtype`.
    Dtype,
    /// `_codecs.encode`, by which Python 3 writes byte strings in protocol 2.
    Encode,
}

impl Global {
    fn find(module: &[u8], name: &[u8]) -> Option<Self> {
        match (module, name) {
            (b"numpy.core.multiarray" | b"numpy._core.multiarray", b"_reconstruct") => {
                Some(Self::Reconstruct)
            }
            (b"numpy", b"ndarray") => Some(Self::NdArray),
            (b"numpy", b"dtype") => Some(Self::Dtype),
            (b"_codecs", b"encode") => Some(Self::Encode),
            _ => None,
        }
    }
}

/// A matrix of bytes, rows one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Array {
    pub rows: usize,
    pub columns: usize,
    pub data: Bytes,
}

pub(super) struct Machine<'a> {
    input: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    /// Heights of the stack where a sequence begins.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    /// Elements of tuples and lists.
    sequences: Vec<Vec<Value>>,
    dicts: Vec<Vec<(Value, Value)>>,
    /// `None` until an array's state is set.
    arrays: Vec<Option<Array>>,
    encoded: Vec<Vec<u8>>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self {
            input,
            at: 0,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            sequences: Vec::new(),
            dicts: Vec::new(),
            arrays: Vec::new(),
            encoded: Vec::new(),
        }
    }

    /// How far the input has been read.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// Runs to the end and returns the value that is left.
    pub(super) fn run(&mut self) -> Result<Value, String> {
        if self.input.len() > MAX_BYTES {
            return Err(format!("it is longer than {MAX_BYTES} bytes"));
        }
        for _ in 0..MAX_OPCODES {
            let [opcode] = self.take_array()?;
            if opcode == b'.' {
                return self.pop();
            }
            self.step(opcode)?;
        }
        Err(format!("it has more than {MAX_OPCODES} opcodes"))
    }

    fn step(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            0x80 => match self.take_array()? {
                [2] => return Ok(()),
                [protocol] => return Err(format!("its protocol is {protocol} instead of 2")),
            },
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.stack.push(Value::None),
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),
            b'K' => {
                let [number] = self.take_array()?;
                self.stack.push(Value::Int(number.into()));
            }
            b'M' => {
                let number = u16::from_le_bytes(self.take_array()?);
                self.stack.push(Value::Int(number.into()));
            }
            b'J' => {
                let number = i32::from_le_bytes(self.take_array()?);
                self.stack.push(Value::Int(number.into()));
            }
            b'U' => {
                let [length] = self.take_array()?;
                let bytes = self.take_string(length.into())?;
                self.stack.push(Value::Bytes(bytes));
            }
            b'T' | b'X' => {
                let length = u32::from_le_bytes(self.take_array()?);
                let bytes = self.take_string(length)?;
                let value = if opcode == b'T' {
                    Value::Bytes
                } else {
                    Value::Text
                };
                self.stack.push(value(bytes));
            }
            b']' => self.push_sequence(Value::List, Vec::new()),
            b')' => self.push_sequence(Value::Tuple, Vec::new()),
            b'}' => {
                self.stack.push(Value::Dict(self.dicts.len()));
                self.dicts.push(Vec::new());
            }
            b't' => {
                let items = self.pop_to_mark()?;
                self.push_sequence(Value::Tuple, items);
            }
            0x85..=0x87 => {
                let items = self.pop_many(usize::from(opcode - 0x84))?;
                self.push_sequence(Value::Tuple, items);
            }
            b'a' => {
                let items = self.pop_many(1)?;
                self.append(items)?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            b's' => {
                let items = self.pop_many(2)?;
                self.set_items(&items)?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(&items)?;
            }
            b'q' => {
                let [key] = self.take_array()?;
                self.put(key.into())?;
            }
            b'r' => {
                let key = u32::from_le_bytes(self.take_array()?);
                self.put(key)?;
            }
            b'h' => {
                let [key] = self.take_array()?;
                self.get(key.into())?;
            }
            b'j' => {
                let key = u32::from_le_bytes(self.take_array()?);
                self.get(key)?;
            }
            b'c' => {
                let global = self.take_global()?;
                self.stack.push(Value::Global(global));
            }
            b'R' => self.reduce()?,
            b'b' => self.build()?,
            _ => {
                return Err(format!(
                    "the opcode 0x{opcode:02x} does not belong in a batch"
                ));
            }
        }
        Ok(())
    }

    /// Calls one of the allowed functions, which here means to do what it would do.
    fn reduce(&mut self) -> Result<(), String> {
        let arguments = self.pop()?;
        let function = self.pop()?;
        let arguments = match arguments {
            Value::Tuple(index) => self.sequences.get(index).map_or(&[][..], Vec::as_slice),
            _ => &[],
        };
        let value = match (function, arguments) {
            (
                Value::Global(Global::Reconstruct),
                [Value::Global(Global::NdArray), Value::Tuple(_), _],
            ) => {
                self.arrays.push(None);
                Value::Array(self.arrays.len() - 1)
            }
            (Value::Global(Global::Dtype), [Value::Bytes(name) | Value::Text(name), ..])
                if self.bytes(*name) == b"u1" =>
            {
                Value::ByteType
            }
            (Value::Global(Global::Encode), [Value::Text(text), Value::Text(encoding)])
                if self.bytes(*encoding) == b"latin1" =>
            {
                let text = *text;
                Value::Bytes(self.encode_latin1(text)?)
            }
            _ => {
                return Err(format!(
                    "a call of {function:?} with these arguments is not allowed"
                ));
            }
        };
        self.stack.push(value);
        Ok(())
    }

    /// Turns each character of a text into the byte of that number.
    fn encode_latin1(&mut self, text: Bytes) -> Result<Bytes, String> {
        let text = std::str::from_utf8(self.bytes(text)).map_err(|error| error.to_string())?;
        let held: usize = self.encoded.iter().map(Vec::len).sum();
        if held + text.len() > MAX_BYTES {
            return Err(format!(
                "its byte strings are longer than {MAX_BYTES} bytes"
            ));
        }
        let bytes = text
            .chars()
            .map(|character| u8::try_from(u32::from(character)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| "a byte string holds a character above 255")?;
        self.encoded.push(bytes);
        Ok(Bytes::Encoded(self.encoded.len() - 1))
    }

    /// Sets an object's state.
    fn build(&mut self) -> Result<(), String> {
        let state = self.pop()?;
        let Value::Tuple(index) = state else {
            return Err("the state of an object is not a tuple".to_owned());
        };
        match self.stack.last() {
            // What a byte type's state says (byte order, alignment) has no meaning for bytes.
            Some(Value::ByteType) => Ok(()),
            Some(Value::Array(array)) => {
                let array = *array;
                let state = self.array_state(index)?;
                if let Some(array) = self.arrays.get_mut(array) {
                    *array = Some(state);
                }
                Ok(())
            }
            _ => Err("only arrays and their types have a state".to_owned()),
        }
    }

    /// Reads an array's state: (version, shape, type, whether columns come first, data).
    fn array_state(&self, state: usize) -> Result<Array, String> {
        let Some(
            [
                Value::Int(_),
                Value::Tuple(shape),
                Value::ByteType,
                Value::Bool(false) | Value::Int(0),
                Value::Bytes(data),
            ],
        ) = self.sequences.get(state).map(Vec::as_slice)
        else {
            return Err("an array is not one of bytes in rows".to_owned());
        };
        let Some([Value::Int(rows), Value::Int(columns)]) =
            self.sequences.get(*shape).map(Vec::as_slice)
        else {
            return Err("an array does not have two dimensions".to_owned());
        };
        let size = |number: i64| usize::try_from(number).map_err(|_| "an array's size is negative");
        let (rows, columns) = (size(*rows)?, size(*columns)?);
        let length = self.bytes(*data).len();
        if rows.checked_mul(columns) != Some(length) {
            return Err(format!(
                "an array of {rows} by {columns} has {length} bytes"
            ));
        }
        Ok(Array {
            rows,
            columns,
            data: *data,
        })
    }

    fn append(&mut self, items: Vec<Value>) -> Result<(), String> {
        match self.stack.last() {
            Some(Value::List(index)) => {
                if let Some(list) = self.sequences.get_mut(*index) {
                    list.extend(items);
                }
                Ok(())
            }
            _ => Err("items are appended to what is no list".to_owned()),
        }
    }

    fn set_items(&mut self, items: &[Value]) -> Result<(), String> {
        let (pairs, rest) = items.as_chunks::<2>();
        match self.stack.last() {
            Some(Value::Dict(index)) if rest.is_empty() => {
                if let Some(dict) = self.dicts.get_mut(*index) {
                    dict.extend(pairs.iter().map(|[key, value]| (*key, *value)));
                }
                Ok(())
            }
            _ => Err("items are set in what is no dictionary".to_owned()),
        }
    }

    fn push_sequence(&mut self, kind: fn(usize) -> Value, items: Vec<Value>) {
        self.stack.push(kind(self.sequences.len()));
        self.sequences.push(items);
    }

    fn put(&mut self, key: u32) -> Result<(), String> {
        let value = self.stack.last().ok_or("the stack is empty")?;
        self.memo.insert(key, *value);
        Ok(())
    }

    fn get(&mut self, key: u32) -> Result<(), String> {
        let value = self.memo.get(&key).ok_or("the memo has no such entry")?;
        self.stack.push(*value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Value, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let value = (self.stack.len() > floor)
            .then(|| self.stack.pop())
            .flatten();
        value.ok_or_else(|| "the stack is empty".to_owned())
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Value>, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(count) {
            Some(height) if height >= floor => Ok(self.stack.split_off(height)),
            _ => Err("the stack is too short".to_owned()),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>, String> {
        let height = self.marks.pop().ok_or("a mark is missing")?;
        // Nothing below a mark is ever popped, so the stack is at least as high.
        Ok(self.stack.split_off(height.min(self.stack.len())))
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let array = rest.first_chunk().ok_or("the file ends too early")?;
        self.at += N;
        Ok(*array)
    }

    fn take_string(&mut self, length: u32) -> Result<Bytes, String> {
        let (start, length) = (self.at, length as usize);
        if length > self.input.len() - start {
            return Err(format!(
                "a string of {length} bytes goes beyond the file's end"
            ));
        }
        self.at += length;
        Ok(Bytes::Input {
            start,
            end: self.at,
        })
    }

    /// Reads a module and a name, each ended by a line feed.
    fn take_global(&mut self) -> Result<Global, String> {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let mut lines = rest.splitn(3, |byte| *byte == b'\n');
        let (Some(module), Some(name), Some(_)) = (lines.next(), lines.next(), lines.next()) else {
            return Err("the file ends too early".to_owned());
        };
        let global = Global::find(module, name).ok_or_else(|| {
            let shown =
                |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
            format!(
                "it wants to use `{}.{}`, which is not allowed",
                shown(module),
                shown(name)
            )
        })?;
        self.at += module.len() + name.len() + 2;
        Ok(global)
    }

    fn bytes(&self, bytes: Bytes) -> &[u8] {
        match bytes {
            Bytes::Input { start, end } => self.input.get(start..end),
            Bytes::Encoded(index) => self.encoded.get(index).map(Vec::as_slice),
        }
        .unwrap_or_default()
    }

    /// A dictionary's last entry of this key, which may be a text or a byte string.
    pub(super) fn entry(&self, dict: Value, key: &[u8]) -> Option<Value> {
        let Value::Dict(index) = dict else {
            return None;
        };
        let entries = self.dicts.get(index)?.iter().rev();
        entries
            .filter(|(name, _)| match name {
                Value::Bytes(name) | Value::Text(name) => self.bytes(*name) == key,
                _ => false,
            })
            .map(|(_, value)| *value)
            .next()
    }

    pub(super) fn list(&self, value: Value) -> Option<&[Value]> {
        match value {
            Value::List(index) => self.sequences.get(index).map(Vec::as_slice),
            _ => None,
        }
    }

    pub(super) fn array(&self, value: Value) -> Option<Array> {
        match value {
            Value::Array(index) => self.arrays.get(index).copied().flatten(),
            _ => None,
        }
    }

    /// A string's bytes, free of the machine.
    pub(super) fn detach(&self, bytes: Bytes) -> Cow<'a, [u8]> {
        match bytes {
            Bytes::Input { start, end } => {
                Cow::Borrowed(self.input.get(start..end).unwrap_or_default())
            }
            Bytes::Encoded(_) => Cow::Owned(self.bytes(bytes).to_vec()),
        }
    }
}
