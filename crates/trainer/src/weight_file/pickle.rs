//! The pickle in which PyTorch names its tensors.
//!
//! A pickle is a program for a small stack machine that can call any function Python can import.
//! This one knows the four functions that a dictionary of tensors needs, does what they would do, and
//! refuses every other by name. Values are numbers into tables, so that a pickle which refers to one
//! value again and again holds it once.

use std::collections::HashMap;

use super::element::Element;

/// Steps of the machine, several times those of the largest network.
const MOST_STEPS: usize = 1 << 20;
/// Numbers that dictionaries, tuples and lists hold in all.
const MOST_ITEMS: usize = 1 << 21;
/// Dimensions of a tensor.
const MOST_DIMENSIONS: usize = 8;

/// The numbers that tensors look at.
#[derive(Debug, Clone, PartialEq)]
pub struct Storage {
    /// The name of its file in the archive.
    pub key: String,
    /// The type of its numbers.
    pub element: Element,
}

/// A tensor: a shape over a storage.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorView {
    /// Its numbers.
    pub storage: Storage,
    /// The first one's place.
    pub offset: usize,
    /// Its shape.
    pub shape: Vec<usize>,
    /// From a number to the next one of each dimension.
    pub strides: Vec<usize>,
}

impl TensorView {
    /// How many numbers it has.
    pub fn elements(&self) -> Result<usize, String> {
        let product = |n: usize, d: &usize| n.checked_mul(*d);
        (self.shape.iter().try_fold(1, product)).ok_or_else(|| "a tensor is too large".to_owned())
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Value {
    /// `None`, a Boolean or a floating-point number, none of which a tensor needs.
    Plain,
    Int(i64),
    Text(usize),
    Sequence(usize),
    Dict(usize),
    Function(Function),
    Storage(usize),
    Tensor(usize),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Function {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    StorageOf(Element),
}

impl Function {
    fn named(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "DoubleStorage") => Self::StorageOf(Element::F64),
            ("torch", "FloatStorage") => Self::StorageOf(Element::F32),
            ("torch", "HalfStorage") => Self::StorageOf(Element::F16),
            ("torch", "BFloat16Storage") => Self::StorageOf(Element::Bf16),
            ("torch", "LongStorage") => Self::StorageOf(Element::Other("int64", 8)),
            ("torch", "IntStorage") => Self::StorageOf(Element::Other("int32", 4)),
            ("torch", "ShortStorage") => Self::StorageOf(Element::Other("int16", 2)),
            ("torch", "CharStorage") => Self::StorageOf(Element::Other("int8", 1)),
            ("torch", "ByteStorage") => Self::StorageOf(Element::Other("uint8", 1)),
            ("torch", "BoolStorage") => Self::StorageOf(Element::Other("bool", 1)),
            _ => return None,
        })
    }
}

/// The tensors of the dictionary that `pickle` holds, by name, in its order. Where the dictionary holds
/// no tensors itself, that under the first of `keys` is taken.
pub fn tensors(pickle: &[u8], keys: &[&str]) -> Result<Vec<(String, TensorView)>, String> {
    let mut machine = Machine {
        input: pickle,
        ..Machine::default()
    };
    let value = machine.run()?;
    let Value::Dict(top) = value else {
        return Err("it holds no dictionary of tensors".to_owned());
    };
    let found = machine.tensors_of(top)?;
    if !found.is_empty() {
        return Ok(found);
    }
    for key in keys {
        if let Some(Value::Dict(inner)) = machine.entry(top, key) {
            return machine.tensors_of(inner);
        }
    }
    Err("it holds no tensors; save it with `torch.save(net.state_dict(), file)`".to_owned())
}

#[derive(Default)]
struct Machine<'a> {
    input: &'a [u8],
    stack: Vec<Value>,
    /// Heights of the stack where a sequence begins.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    texts: Vec<&'a str>,
    sequences: Vec<Vec<Value>>,
    dicts: Vec<Vec<(Value, Value)>>,
    storages: Vec<Storage>,
    tensors: Vec<TensorView>,
    items: usize,
}

impl<'a> Machine<'a> {
    /// Runs to the end and returns the value that is left.
    fn run(&mut self) -> Result<Value, String> {
        for _ in 0..MOST_STEPS {
            match self.take_array()? {
                [b'.'] => return self.pop(),
                [opcode] => self.step(opcode)?,
            }
        }
        Err(format!("its pickle has more than {MOST_STEPS} steps"))
    }

    fn step(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            0x80 => match self.take_array()? {
                [2] => {}
                [other] => {
                    return Err(format!(
                        "its pickle has protocol {other}; save it with PyTorch's default, 2"
                    ));
                }
            },
            b'(' => self.marks.push(self.stack.len()),
            b'N' | 0x88 | 0x89 => self.stack.push(Value::Plain),
            b'G' => {
                let _: [u8; 8] = self.take_array()?;
                self.stack.push(Value::Plain);
            }
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
            0x8a => self.long()?,
            b'X' => self.text()?,
            b']' | b')' => self.push_sequence(Vec::new())?,
            b'}' => self.push_dict(),
            b't' => {
                let items = self.pop_to_mark()?;
                self.push_sequence(items)?;
            }
            0x85..=0x87 => {
                let items = self.pop_many(usize::from(opcode - 0x84))?;
                self.push_sequence(items)?;
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
            b'c' => self.function()?,
            b'Q' => self.storage()?,
            b'R' => self.call()?,
            b'b' => self.set_state()?,
            other => {
                return Err(format!(
                    "its pickle holds more than weights (opcode 0x{other:02x}), which is refused; save \
                     `net.state_dict()` alone"
                ));
            }
        }
        Ok(())
    }

    /// A whole number of as many bytes as the first byte says.
    fn long(&mut self) -> Result<(), String> {
        let [length] = self.take_array()?;
        let bytes = self.take(length.into())?;
        let mut number = [0; 8];
        let negative = bytes.last().is_some_and(|top| top & 0x80 != 0);
        match number.get_mut(..bytes.len()) {
            Some(low) if !negative => low.copy_from_slice(bytes),
            _ => return Err("its pickle has a number that is no size".to_owned()),
        }
        self.stack.push(Value::Int(i64::from_le_bytes(number)));
        Ok(())
    }

    fn text(&mut self) -> Result<(), String> {
        let length = u32::from_le_bytes(self.take_array()?);
        let bytes = self.take(length as usize)?;
        let text = std::str::from_utf8(bytes).map_err(|error| format!("its pickle: {error}"))?;
        self.stack.push(Value::Text(self.texts.len()));
        self.texts.push(text);
        Ok(())
    }

    /// A module and a name, each ended by a line feed.
    fn function(&mut self) -> Result<(), String> {
        let mut lines = self.input.splitn(3, |byte| *byte == b'\n');
        let (Some(module), Some(name), Some(rest)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err("its pickle ends too early".to_owned());
        };
        let shown = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            text.chars().take(80).collect::<String>()
        };
        let (module, name) = (shown(module), shown(name));
        let function = Function::named(&module, &name).ok_or_else(|| {
            format!(
                "its pickle wants to use `{module}.{name}`, which is refused: only weights are read; \
                 save `net.state_dict()` alone"
            )
        })?;
        self.stack.push(Value::Function(function));
        self.input = rest;
        Ok(())
    }

    /// `("storage", type, key, device, count)` to a storage.
    fn storage(&mut self) -> Result<(), String> {
        let Value::Sequence(index) = self.pop()? else {
            return Err("its pickle has a storage without a description".to_owned());
        };
        let Some(
            [
                Value::Text(_),
                Value::Function(Function::StorageOf(element)),
                Value::Text(key),
                ..,
            ],
        ) = self.sequences.get(index).map(Vec::as_slice)
        else {
            return Err("its pickle has a storage of an unknown kind".to_owned());
        };
        let key = self.texts.get(*key).copied().unwrap_or_default().to_owned();
        let element = *element;
        self.stack.push(Value::Storage(self.storages.len()));
        self.storages.push(Storage { key, element });
        Ok(())
    }

    /// Does what one of the known functions would do.
    fn call(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let arguments = match arguments {
            Value::Sequence(index) => self.sequences.get(index).map_or(&[][..], Vec::as_slice),
            _ => &[],
        };
        match (function, arguments) {
            (Value::Function(Function::OrderedDict), []) => self.push_dict(),
            (Value::Function(Function::RebuildParameter), [Value::Tensor(tensor), ..]) => {
                let tensor = *tensor;
                self.stack.push(Value::Tensor(tensor));
            }
            (
                Value::Function(Function::RebuildTensor),
                [
                    Value::Storage(storage),
                    Value::Int(offset),
                    Value::Sequence(shape),
                    Value::Sequence(strides),
                    ..,
                ],
            ) => {
                let size = |number: i64| {
                    usize::try_from(number).map_err(|_| "a tensor has a negative size".to_owned())
                };
                let storage = self.storages.get(*storage).ok_or("a storage is absent")?;
                let view = TensorView {
                    storage: storage.clone(),
                    offset: size(*offset)?,
                    shape: self.sizes(*shape)?,
                    strides: self.sizes(*strides)?,
                };
                if view.shape.len() != view.strides.len() {
                    return Err("a tensor has more dimensions than strides".to_owned());
                }
                self.stack.push(Value::Tensor(self.tensors.len()));
                self.tensors.push(view);
            }
            _ => return Err("its pickle makes a call that no tensor needs".to_owned()),
        }
        Ok(())
    }

    fn sizes(&self, sequence: usize) -> Result<Vec<usize>, String> {
        let values = self.sequences.get(sequence).map_or(&[][..], Vec::as_slice);
        if values.len() > MOST_DIMENSIONS {
            return Err(format!(
                "a tensor has more than {MOST_DIMENSIONS} dimensions"
            ));
        }
        let size = |value: &Value| match value {
            Value::Int(number) => usize::try_from(*number).ok(),
            _ => None,
        };
        (values.iter().map(size).collect::<Option<_>>())
            .ok_or_else(|| "a tensor's shape is not one of whole numbers".to_owned())
    }

    /// Sets an object's state. That of PyTorch's dictionaries holds versions of layers, which the
    /// weights do not need.
    fn set_state(&mut self) -> Result<(), String> {
        let state = self.pop()?;
        match (self.stack.last(), state) {
            (Some(Value::Dict(_)), Value::Dict(_)) => Ok(()),
            _ => Err("its pickle sets the state of an object that is no dictionary".to_owned()),
        }
    }

    fn append(&mut self, items: Vec<Value>) -> Result<(), String> {
        self.count(items.len())?;
        match self.stack.last() {
            Some(Value::Sequence(index)) => {
                if let Some(list) = self.sequences.get_mut(*index) {
                    list.extend(items);
                }
                Ok(())
            }
            _ => Err("its pickle appends to what is no list".to_owned()),
        }
    }

    fn set_items(&mut self, items: &[Value]) -> Result<(), String> {
        self.count(items.len())?;
        let (pairs, rest) = items.as_chunks::<2>();
        match self.stack.last() {
            Some(Value::Dict(index)) if rest.is_empty() => {
                if let Some(dict) = self.dicts.get_mut(*index) {
                    dict.extend(pairs.iter().map(|[key, value]| (*key, *value)));
                }
                Ok(())
            }
            _ => Err("its pickle sets items in what is no dictionary".to_owned()),
        }
    }

    /// Counts what is held, so that a short pickle does not hold much.
    fn count(&mut self, items: usize) -> Result<(), String> {
        self.items += items;
        if self.items > MOST_ITEMS {
            return Err(format!("its pickle holds more than {MOST_ITEMS} items"));
        }
        Ok(())
    }

    fn push_sequence(&mut self, items: Vec<Value>) -> Result<(), String> {
        self.count(items.len())?;
        self.stack.push(Value::Sequence(self.sequences.len()));
        self.sequences.push(items);
        Ok(())
    }

    fn push_dict(&mut self) {
        self.stack.push(Value::Dict(self.dicts.len()));
        self.dicts.push(Vec::new());
    }

    fn put(&mut self, key: u32) -> Result<(), String> {
        let value = self.stack.last().ok_or("its pickle's stack is empty")?;
        self.memo.insert(key, *value);
        Ok(())
    }

    fn get(&mut self, key: u32) -> Result<(), String> {
        let value = self
            .memo
            .get(&key)
            .ok_or("its pickle's memo has no such entry")?;
        self.stack.push(*value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Value, String> {
        let value = self.pop_many(1)?;
        value
            .first()
            .copied()
            .ok_or_else(|| "its pickle's stack is empty".to_owned())
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Value>, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(count) {
            Some(height) if height >= floor => Ok(self.stack.split_off(height)),
            _ => Err("its pickle's stack is too short".to_owned()),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>, String> {
        let height = self.marks.pop().ok_or("its pickle lacks a mark")?;
        // Nothing below a mark is ever popped, so the stack is at least as high.
        Ok(self.stack.split_off(height.min(self.stack.len())))
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (array, rest) = (self.input.split_first_chunk()).ok_or("its pickle ends too early")?;
        self.input = rest;
        Ok(*array)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (bytes, rest) =
            (self.input.split_at_checked(length)).ok_or("its pickle ends too early")?;
        self.input = rest;
        Ok(bytes)
    }

    /// A dictionary's last entry of this key.
    fn entry(&self, dict: usize, key: &str) -> Option<Value> {
        let entries = self.dicts.get(dict)?.iter().rev();
        entries
            .filter(|(name, _)| self.text_of(*name) == Some(key))
            .map(|(_, value)| *value)
            .next()
    }

    fn text_of(&self, value: Value) -> Option<&'a str> {
        match value {
            Value::Text(index) => self.texts.get(index).copied(),
            _ => None,
        }
    }

    /// The entries of a dictionary that are tensors under a text.
    fn tensors_of(&self, dict: usize) -> Result<Vec<(String, TensorView)>, String> {
        let mut found = Vec::new();
        for (key, value) in self.dicts.get(dict).map_or(&[][..], Vec::as_slice) {
            let Value::Tensor(tensor) = value else {
                continue;
            };
            let name = (self.text_of(*key)).ok_or("a tensor's name is not a text")?;
            let view = self.tensors.get(*tensor).ok_or("a tensor is absent")?;
            found.push((name.to_owned(), view.clone()));
        }
        Ok(found)
    }
}
