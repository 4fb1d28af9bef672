/* Makes kafka/<key>.bin with the Java client's own message classes: every version of one API, request and response, each once with
 * every field filled from its name and once with nothing but defaults and nulls. See README.md.
 *
 *     java -cp kafka-clients.jar:slf4j-api.jar MakeKafkaMessages.java DIRECTORY KEY:OLDEST-NEWEST... */
import java.io.DataOutputStream;
import java.io.FileOutputStream;
import java.lang.reflect.Method;
import java.lang.reflect.ParameterizedType;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.Field;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;
import org.apache.kafka.common.record.MemoryRecords;

@SuppressWarnings("unchecked")
public class MakeKafkaMessages {
    static final int ITEMS = 2;

    public static void main(String[] arguments) throws Exception {
        for (int i = 1; i < arguments.length; i++) {
            String[] parts = arguments[i].split("[:-]");
            make(arguments[0], Short.parseShort(parts[0]), Short.parseShort(parts[1]), Short.parseShort(parts[2]));
        }
    }

    static void make(String directory, short key, short oldest, short newest) throws Exception {
        ApiMessageType type = ApiMessageType.fromApiKey(key);
        try (DataOutputStream out = new DataOutputStream(new FileOutputStream(directory + "/" + key + ".bin"))) {
            for (short version = oldest; version <= newest; version++)
                for (boolean filled : new boolean[] {true, false}) {
                    write(out, 0, version, filled, type.newRequest(), type.requestSchemas()[version]);
                    write(out, 1, version, filled, type.newResponse(), type.responseSchemas()[version]);
                }
        }
    }

    /* direction, version, filled, size, message */
    static void write(DataOutputStream out, int direction, short version, boolean filled, Message message, Schema schema)
        throws Exception {
        if (filled)
            fill(message, schema);
        else
            empty(message, schema);
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer bytes = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(bytes), cache, version);
        out.writeByte(direction);
        out.writeShort(version);
        out.writeByte(filled ? 1 : 0);
        out.writeInt(bytes.capacity());
        out.write(bytes.array());
    }

    static List<Field> fields(Schema schema) throws Exception {
        var tagged = TaggedFields.class.getDeclaredField("fields");
        tagged.setAccessible(true);
        List<Field> all = new ArrayList<>();
        for (var bound : schema.fields()) {
            if (bound.def.type instanceof TaggedFields)
                all.addAll(((Map<Integer, Field>) tagged.get(bound.def.type)).values());
            else
                all.add(bound.def);
        }
        return all;
    }

    static Method setter(Object message, String name) {
        StringBuilder camel = new StringBuilder("set");
        for (String word : name.split("_"))
            camel.append(Character.toUpperCase(word.charAt(0))).append(word.substring(1));
        for (Method method : message.getClass().getMethods())
            if (method.getName().equals(camel.toString()))
                return method;
        throw new IllegalStateException(message.getClass() + " has no " + camel);
    }

    static void fill(Object message, Schema schema) throws Exception {
        for (Field field : fields(schema)) {
            Method setter = setter(message, field.name);
            setter.invoke(message, value(setter, field.type, field.name));
        }
    }

    static Object value(Method setter, Type type, String name) throws Exception {
        Class<?> wanted = setter.getParameterTypes()[0];
        if (!type.isArray())
            return wanted.getName().contains("Data$") ? struct(wanted, (Schema) type) : scalar(wanted, name);
        Type of = type.arrayElementType().get();
        Collection<Object> items = wanted == List.class
            ? new ArrayList<>()
            : (Collection<Object>) wanted.getConstructor().newInstance();
        for (int i = 0; i < ITEMS; i++)
            items.add(of instanceof Schema ? struct(elementClass(setter, wanted), (Schema) of)
                                           : scalar(elementClass(setter, wanted), name));
        return items;
    }

    static Class<?> elementClass(Method setter, Class<?> wanted) {
        ParameterizedType generic = (ParameterizedType) (wanted == List.class ? setter.getGenericParameterTypes()[0]
                                                                              : wanted.getGenericSuperclass());
        return (Class<?>) generic.getActualTypeArguments()[0];
    }

    static Object struct(Class<?> type, Schema schema) throws Exception {
        Object made = type.getConstructor().newInstance();
        fill(made, schema);
        return made;
    }

    static Object scalar(Class<?> type, String name) {
        byte[] text = name.getBytes(StandardCharsets.UTF_8);
        CRC32 crc = new CRC32();
        crc.update(text);
        long number = crc.getValue();
        if (type == boolean.class) return (number & 1) != 0;
        if (type == byte.class) return (byte) number;
        if (type == short.class || type == Short.class) return (short) number;
        if (type == int.class || type == Integer.class) return (int) number;
        if (type == long.class) return number << 32 | number;
        if (type == String.class) return name;
        if (type == Uuid.class) return new Uuid(number << 32 | number, number);
        if (type == byte[].class) return text;
        if (type == ByteBuffer.class) return ByteBuffer.wrap(text);
        return MemoryRecords.readableRecords(ByteBuffer.wrap(text));
    }

    /* Nulls where the version allows them and the field is not tagged (there null is the default or not to be had). */
    static void empty(Object message, Schema schema) throws Exception {
        for (var bound : schema.fields()) {
            if (bound.def.type instanceof TaggedFields)
                continue;
            Method setter = setter(message, bound.def.name);
            if (bound.def.type.isNullable())
                setter.invoke(message, new Object[] {null});
        }
    }
}
