"""What a reader of answers has to know of each language: a table of words, and nothing else.

Phrases are separated by `|` and compared without case. `^` before one: only where a clause begins.

    letters     the labels that the language counts with; several rows are separated by `|`
    ordinals    first, second, ... in order, with the spellings of each between `|`: "first | 1st; second"
    last        the last one
    answer      what announces an answer: "the answer", "I think"
    option      nouns that a label follows or an ordinal goes with: "option", "number"
    beside      words that may stand between those and a label, or beside a bare letter
    counters    what follows a number that is a label, as in 2番
    right, wrong   verdicts on what stands before them, else on what follows
    before      denies what follows it in its clause, else what stands shortly before it: "not"
    after       denies what stands before it, in languages that deny at the end
    no, yes     answers by themselves; a "no" that is a complete clause takes back what came before
    either, both   "or", "and": what they join stands or falls together
    but, because   begin a clause of their own; after them a denial has ended
    so          begins a conclusion, which outweighs what comes before it
    instead     takes back what came before: "actually", "I mean"
    oh          an interjection; a "no" that follows it takes back what came before
    unsure      says that there is no answer
    whether     makes what follows a case that is only considered: "if", "whether"
    harmless    phrases with a word of denial that denies nothing: "no doubt"
    polite      particles that end a clause
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal[
    "letters",
    "ordinals",
    "last",
    "answer",
    "option",
    "beside",
    "counters",
    "right",
    "wrong",
    "before",
    "after",
    "no",
    "yes",
    "either",
    "both",
    "but",
    "because",
    "so",
    "instead",
    "oh",
    "unsure",
    "whether",
    "harmless",
    "polite",
]
# Those that are labels themselves.
LABELS: tuple[Kind, ...] = ("letters", "ordinals", "last")

WORDS: Mapping[str, Mapping[Kind, str]] = {
    "marks": {
        "option": "#",
        "right": "✅ | ✓ | ✔ | ☑",
        "wrong": "❌ | ✗ | ✘ | ✖ | ❎",
        "either": "/",
        "both": "& | +",
    },
    "en": {
        "ordinals": "first | 1st; second | 2nd; third | 3rd; fourth | 4th; fifth | 5th; sixth | 6th",
        "last": "last | final",
        "answer": (
            "that leaves | i'm sure | ans | answer | final answer | correct one | right one | "
            "best match | closest match | i think | i believe | i'd say | i would say | i'd choose | "
            "i would choose | i choose | i'd pick | i pick | i'd go with | i would go with | "
            "i'll go with | i go with | my guess | best guess | most likely | looks like | "
            "resembles | must be | selected | prediction"
        ),
        "option": "option | choice | letter | number | one | statement",
        "beside": (
            "is | are | was | be | it's | it is | that's | this is | would be | the | as | with | "
            "to | of | for | choose | pick | select | say | suggests | suggest | indicates | means | "
            "probably | perhaps | maybe | likely | definitely | certainly | clearly | has | shows | "
            "looks | seems | matches | fits | i | my | here | in | could be | might be | may be"
        ),
        "right": "correct | right | true | matches | is the best",
        "wrong": (
            "least likely | makes no sense | make no sense | cross out | cross off | excluded | "
            "discarded | dismissed | impossible | unlikely | is out | incorrect | wrong | false | "
            "not correct | not right | not the answer | isn't correct | isn't right | "
            "isn't the answer | ruled out | can be ruled out | eliminated"
        ),
        "before": (
            "not sure | not certain | not entirely sure | not entirely certain | "
            "not completely sure | not 100% sure | can't be certain | cannot be certain | "
            "can't be sure | cannot be sure | unsure | everything but | all but | unlikely | "
            "improbable | less likely | inconsistent with | hasn't | haven't | shouldn't | ain't | "
            "weren't | hadn't | dismiss | discard | compared to | compared with | no | doubt | "
            "differs from | differ from | than | hardly | far from | nothing like | aside from | "
            "apart from | except | except for | excluding | without | lacks | not | isn't | is not | "
            "can't | cannot | can not | don't | doesn't | didn't | wasn't | aren't | won't | "
            "wouldn't | couldn't | neither | nor | never | unlike | rule out | rules out | "
            "ruling out | eliminate | eliminates | exclude | excludes | rather than | instead of | "
            "anything but | different from | as opposed to | confused with | mistaken for | "
            "similar to | first thought | initially thought | thought | was going to say | "
            "first instinct | first guess | at first glance"
        ),
        "no": "not at all | not really | no | nope",
        "yes": "yes | yeah | yep | yup",
        "either": "or | either | versus | vs",
        "both": "and | between",
        "but": "but | however | although | though | while | whereas | yet",
        "because": "because | since | as it | as the | as there | given that | due to",
        "so": (
            "^so | therefore | thus | hence | ^conclusion | in conclusion | final answer | "
            "^consequently | ^overall"
        ),
        "instead": (
            "i meant | make that | or rather | on reflection | let me reconsider | hold on | "
            "i take that back | wait | ^actually | i mean | on second look | on second thought | "
            "correction | scratch that | let me correct"
        ),
        "oh": "oh | oops | hmm | ah | eh | sorry",
        "unsure": (
            "perhaps not | maybe not | or not | cannot tell | can't tell | can not tell | "
            "not sure which | hard to say | don't know | do not know | no idea | cannot determine | "
            "can't determine | unable to | impossible to tell"
        ),
        "whether": (
            "consider | considering | let's look at | each option | the options | options given | "
            "options are | given options | if | whether | unless | assuming | suppose"
        ),
        "harmless": (
            "not sure | not certain | not entirely sure | not entirely certain | "
            "not completely sure | not 100% sure | can't be certain | cannot be certain | "
            "can't be sure | cannot be sure | unsure | if i had to | if i must | if i have to | "
            "if forced | as if | if you look | no doubt | without a doubt | not only | not kidding | "
            "isn't it | aren't they | isn't that | not just | why not | if not mistaken | "
            "if i'm not mistaken | not surprising | not surprisingly | no question | no problem | "
            "no worries"
        ),
    },
    "th": {
        "letters": "ก ข ค ง จ ฉ ช ซ",
        "ordinals": "แรก | หนึ่ง; สอง; สาม; สี่; ห้า; หก",
        "last": "สุดท้าย",
        "answer": "คำตอบ | ตอบ | เฉลย | คิดว่า | น่าจะเป็น | น่าจะ | ขอเลือก | เลือก",
        "option": "ข้อ | ตัวเลือก | หมายเลข | ช้อยส์ | อันที่ | อัน",
        "beside": "คือ | เป็น | ที่ | นี่คือ | ได้แก่ | ว่า",
        "right": "ถูกต้อง | ถูก",
        "wrong": "ผิด | ไม่ถูกต้อง | ไม่ถูก | ไม่ใช่คำตอบ",
        "before": (
            "ไม่ | ตัด | ยกเว้น | นอกจาก | ไม่แน่ใจว่า | ไม่ใช่ | มิใช่ | ไม่น่าจะเป็น | ไม่น่าจะ | "
            "ไม่น่าใช่ | ไม่ได้เป็น | ไม่เป็น | มากกว่า | แทนที่จะเป็น | แทนที่ | ตอนแรก | "
            "ไม่คิดว่า | ต่างจาก | คล้าย"
        ),
        "no": "ไม่ | ไม่ใช่ | เปล่า",
        "yes": "ใช่",
        "either": "หรือ | ก็ | หรือไม่ก็",
        "both": "และ | กับ | ระหว่าง",
        "but": "แต่",
        "because": "เพราะ | เนื่องจาก",
        "so": "ดังนั้น | สรุป | เพราะฉะนั้น",
        "instead": "จริงๆ แล้ว | จริงๆแล้ว | ที่จริง | ขอแก้",
        "oh": "เอ๊ะ | เอ้ย | อ้าว | อุ๊ย | ขอโทษ",
        "unsure": "ไม่ทราบ | ไม่รู้ | ไม่สามารถ | บอกไม่ได้",
        "whether": "พิจารณา | แต่ละตัวเลือก | แต่ละข้อ | ถ้า | หาก",
        "harmless": "ไม่แน่ใจ | ไม่เพียงแต่ | ใช่ไหม | ใช่มั้ย | ไม่ใช่หรือ | ไม่ใช่แค่",
        "polite": "สิ | หรอก | แหละ | น่ะ | จ้า | ฮะ | คับ | ครับ | ค่ะ | คะ | นะ | จ้ะ | เลย",
    },
    "vi": {
        "ordinals": "thứ nhất | đầu tiên; thứ hai; thứ ba; thứ tư; thứ năm; thứ sáu",
        "last": "cuối cùng",
        "answer": (
            "đoán | chắc là | đáp án | câu trả lời | chọn | trả lời | tôi nghĩ | theo tôi | có lẽ"
        ),
        "option": "câu | lựa chọn | phương án | số | ý",
        "beside": "có thể là | chắc chắn là | chính là | là | đây là | thứ | của | ở",
        "right": "đúng | chính xác | mới đúng",
        "wrong": "sai | không đúng | không chính xác",
        "before": (
            "không thể là | không | không nghĩ | không chắc là | ^loại | loại trừ | loại bỏ | ^trừ | "
            "ngoại trừ | hơn là | không giống | không phải là | không phải | chẳng phải | không là | "
            "chứ không | chứ không phải | thay vì | lúc đầu | ban đầu | khác với | giống"
        ),
        "no": "không | không phải",
        "yes": "có | đúng | vâng",
        "either": "hoặc | hay | hoặc là",
        "both": "và | giữa",
        "but": "nhưng | mà là | mà",
        "because": "vì | bởi vì | do",
        "so": "vậy | do đó | vì vậy | kết luận",
        "instead": "thực ra | à nhầm | ý tôi là",
        "oh": "à | ồ | xin lỗi",
        "unsure": "không biết | không thể",
        "whether": "xem xét | từng phương án | từng đáp án | nếu",
        "harmless": "không những | không nghi ngờ | không chắc chắn | không chắc | không chỉ",
        "polite": "đâu | nhỉ | nhé | nha | ạ",
    },
    "id and ms": {
        "ordinals": "pertama | kesatu; kedua; ketiga; keempat; kelima; keenam",
        "last": "terakhir",
        "answer": (
            "pilih | jawab | jawabannya | jawaban | jawapannya | jawapan | menurut saya | "
            "saya rasa | saya pilih | sepertinya | saya kira | saya pikir | jawabane | jawabanna"
        ),
        "option": "pilihan | opsi | nomor | nombor | huruf | yang",
        "beside": (
            "mungkin | barangkali | pasti | tentu | adalah | ialah | yaitu | iaitu | ini | itu | "
            "di | pada | yang | merupakan"
        ),
        "right": "benar | betul | tepat",
        "wrong": (
            "salah | tidak benar | tidak tepat | tidak betul | bukan jawaban | bukan jawapan | "
            "keliru | kurang tepat"
        ),
        "before": (
            "bukannya | bukankah | tidakkah | tidak yakin | kurang yakin | tak | tidaklah | "
            "kecuali | selain | jangan | belum tentu | alih-alih | bukan | bukanlah | tidak | "
            "daripada | awalnya | mulanya | pada mulanya | berbeda dengan | mirip | tak mungkin"
        ),
        "no": "bukan | tidak | tak | bukanlah",
        "yes": "ya | iya",
        "either": "atau | sama ada",
        "both": "dan | antara",
        "but": "tetapi | tapi | melainkan | namun | sebaliknya | akan tetapi | walaupun",
        "because": "karena | kerana | sebab",
        "so": "jadi | kesimpulannya | oleh karena itu | maka",
        "instead": "ternyata | sebenarnya | maksud saya | sebetulnya",
        "oh": "eh | oh | maaf",
        "unsure": "tidak tahu | tak tahu | tak pasti | tidak pasti | tidak bisa | tidak dapat",
        "whether": (
            "mari kita | setiap pilihan | setiap opsi | masing-masing pilihan | kalau | jika | "
            "apakah | kalau tidak | jikalau"
        ),
        "harmless": (
            "tidak yakin | kurang yakin | tidak hanya | bukan hanya | bukan saja | tidak diragukan"
        ),
        "polite": "deh | dong | sih | nih | lah",
    },
    "fil": {
        "ordinals": (
            "una | unang; pangalawa | pangalawang | ikalawa | ikalawang; "
            "pangatlo | pangatlong | ikatlo | ikatlong; pang-apat | ikaapat | ikaapat na; "
            "panlima | ikalima; pang-anim | ikaanim"
        ),
        "last": "huli | huling",
        "answer": "sagot | kasagutan | sa tingin ko | pinipili ko | palagay ko",
        "option": "letrang | pagpipilian | opsyon | opsiyon | letra | titik | numero | bilang",
        "beside": (
            "yan | iyan | siguro | ito | iyan ay | po | baka | pala | marahil | ang | ay | yung | "
            "iyon | na | sa | ito ay"
        ),
        "right": "tama | tamang",
        "wrong": "mali | maling | hindi tama",
        "before": (
            "hindi po | maliban sa | hindi ako sigurado | wala | huwag | hindi | hindi ito | "
            "sa halip na | imbes na | akala ko"
        ),
        "no": "hindi | hindi po",
        "yes": "oo | opo",
        "either": "o | alinman sa",
        "both": "at",
        "but": "kundi | pero | ngunit | subalit",
        "because": "dahil | kasi | sapagkat",
        "so": "kaya | samakatuwid",
        "oh": "ay | naku | teka",
        "unsure": "hindi ko alam | ewan ko | hindi ko makita",
        "whether": "kung",
        "harmless": "hindi ako sigurado | hindi lang",
    },
    "km": {
        "letters": "ក ខ គ ឃ ង ច",
        "ordinals": "មួយ | ដំបូង; ពីរ; បី; បួន; ប្រាំ; ប្រាំមួយ",
        "last": "ចុងក្រោយ",
        "answer": "ចម្លើយ | ឆ្លើយ | ខ្ញុំគិតថា | ជ្រើសរើស",
        "option": "ជម្រើស | លេខ | អក្សរ | ជម្រើសទី",
        "beside": "គឺ | គឺជា | ជា | ទី | នេះ",
        "right": "ត្រឹមត្រូវ",
        "wrong": "ខុស | មិនត្រឹមត្រូវ | មិនត្រូវ",
        "before": "មិន | លើកលែងតែ | មិនមែនជា | មិនមែន",
        "no": "ទេ | អត់ទេ | មិនមែន | មិនមែនទេ",
        "yes": "បាទ | ចាស",
        "either": "ឬ",
        "both": "និង",
        "but": "ប៉ុន្តែ | តែ",
        "because": "ព្រោះ | ដោយសារ",
        "so": "ដូច្នេះ",
        "unsure": "មិនដឹង | មិនអាច | មិនប្រាកដ",
        "whether": "បើ",
        "polite": "ទេ | អត់ទេ",
    },
    "lo": {
        "letters": "ກ ຂ ຄ ງ ຈ ສ",
        "ordinals": "ທຳອິດ | ໜຶ່ງ | ຫນຶ່ງ; ສອງ; ສາມ; ສີ່; ຫ້າ; ຫົກ",
        "last": "ສຸດທ້າຍ",
        "answer": "ຄຳຕອບ | ຕອບ | ຄິດວ່າ | ເລືອກ",
        "option": "ຂໍ້ | ຕົວເລືອກ | ເລກ",
        "beside": "ແມ່ນ | ທີ | ທີ່ | ຄື",
        "right": "ຖືກຕ້ອງ | ຖືກ",
        "wrong": "ຜິດ | ບໍ່ຖືກຕ້ອງ | ບໍ່ຖືກ",
        "before": "ບໍ່ | ຍົກເວັ້ນ | ບໍ່ແມ່ນ",
        "no": "ບໍ່ | ບໍ່ແມ່ນ",
        "yes": "ແມ່ນ | ແມ່ນແລ້ວ",
        "either": "ຫຼື | ຫລື",
        "both": "ແລະ",
        "but": "ແຕ່",
        "because": "ເພາະ",
        "so": "ດັ່ງນັ້ນ",
        "unsure": "ບໍ່ຮູ້ | ບໍ່ສາມາດ | ບໍ່ແນ່ໃຈ",
        "whether": "ຖ້າ",
        "polite": "ເດີ",
    },
    "my": {
        "letters": "က ခ ဂ ဃ င စ",
        "ordinals": "ပထမ; ဒုတိယ; တတိယ; စတုတ္ထ; ပဉ္စမ; ဆဋ္ဌမ",
        "last": "နောက်ဆုံး",
        "answer": "အဖြေ | အဖြေမှန် | ရွေးပါမယ် | ထင်ပါတယ် | ထင်တယ်",
        "option": "ရွေးချယ်မှု | နံပါတ် | အမှတ် | တစ်ခု",
        "beside": "မှာ | က | ဖြစ် | သည် | ဖြစ်သည် | ဖြစ်ပါသည် | ပါ | ဒါက",
        "right": "မှန်ပါတယ် | မှန်ပါသည် | မှန်တယ် | မှန်သည် | မှန်",
        "wrong": "မှားပါတယ် | မှားပါသည် | မှားတယ် | မှားသည် | မမှန်",
        "after": "မဟုတ်ပါဘူး | မဟုတ်ဘူး | မဟုတ်ပါ | မဟုတ်",
        "no": "မဟုတ်ပါဘူး | မဟုတ်ဘူး | မဟုတ်ပါ | မဟုတ်",
        "yes": "ဟုတ်ကဲ့ | ဟုတ်ပါတယ် | ဟုတ်တယ်",
        "either": "သို့မဟုတ် | ဒါမှမဟုတ်",
        "both": "နှင့် | နဲ့",
        "but": "ဒါပေမဲ့ | သို့သော်",
        "because": "ဘာလို့လဲဆိုတော့",
        "so": "ထို့ကြောင့် | ဒါကြောင့်",
        "unsure": "မသိပါ | မသေချာ | မသိဘူး",
        "whether": "ဆိုရင်",
    },
    "ta": {
        "letters": "அ ஆ இ ஈ உ ஊ",
        "ordinals": "முதல் | முதலாவது; இரண்டாவது; மூன்றாவது; நான்காவது; ஐந்தாவது; ஆறாவது",
        "last": "கடைசி",
        "answer": "விடை | பதில் | என்று நினைக்கிறேன்",
        "option": "விருப்பம் | தேர்வு | எண்",
        "beside": "என்பது | இது | சரியான | ஆகும்",
        "right": "சரி | சரியானது | சரியான",
        "wrong": "தவறு | தவறானது | சரியல்ல | சரியில்லை",
        "after": "அல்லாத | கிடையாது | அல்ல | இல்லை | அல்லாமல்",
        "no": "இல்லை",
        "yes": "ஆம் | ஆமாம்",
        "either": "அல்லது",
        "both": "மற்றும்",
        "but": "ஆனால்",
        "because": "ஏனெனில் | ஏனென்றால்",
        "so": "எனவே | ஆகவே",
        "unsure": "தெரியவில்லை | தெரியாது",
        "whether": "என்றால்",
        "polite": "தான்",
    },
    "zh": {
        "letters": "甲 乙 丙 丁 戊 己",
        "ordinals": (
            "第一个 | 第一項 | 第一项 | 第一個 | 第一; 第二个 | 第二项 | 第二項 | 第二個 | 第二; 第三个 | 第三项 | 第三項 | 第三個 | 第三; "
            "第四个 | 第四项 | 第四項 | 第四個 | 第四; 第五个 | 第五项 | 第五; 第六个 | 第六项 | 第六"
        ),
        "last": "最后一个 | 最後一個 | 最后一项",
        "answer": "答案 | 我选 | 我選 | 应选 | 應選 | 应该选 | 选 | 選 | 我认为 | 我觉得 | 我認為 | 应该是 | 應該是 | 回答",
        "option": "选项 | 選項 | 第",
        "beside": "是 | 为 | 為 | 的 | 应该 | 这是",
        "right": "正确 | 正確 | 对的 | 對的",
        "wrong": "错误 | 錯誤 | 错的 | 錯的 | 错 | 不对 | 不對 | 不正确 | 不正確",
        "before": (
            "不 | 没 | 除了 | 不认为 | 不觉得 | 既不是 | 也不是 | 不是 | 并非 | 并不是 | 不会是 | 不可能是 | 而不是 | 而非 | 不像 | 不选 | "
            "排除"
        ),
        "no": "否 | 不 | 不是 | 不对 | 不對 | 没有",
        "yes": "是 | 是的 | 对",
        "either": "或 | 或者 | 还是 | 還是",
        "both": "和 | 与 | 以及",
        "but": "但 | 但是 | 而是 | 不过",
        "because": "因为 | 因為 | 由于",
        "so": "所以 | 因此 | 综上 | 最终答案",
        "instead": "其实 | 更正 | 等等",
        "oh": "啊 | 哦",
        "unsure": "不知道 | 不确定 | 無法 | 无法",
        "whether": "每个选项 | 各个选项 | 逐一 | 如果 | 要么 | 若",
        "harmless": "不错 | 毫无疑问 | 不仅 | 不太确定",
    },
    "ja": {
        "letters": "ア イ ウ エ オ カ",
        "ordinals": "最初 | 一番目; 二番目; 三番目; 四番目; 五番目; 六番目",
        "last": "最後",
        "answer": "答え | 正解 | 解答 | と思います",
        "option": "選択肢 | 番号",
        "beside": "は | の | が | です",
        "counters": "番",
        "right": "正しい",
        "wrong": "違います | 違う | 間違い | 誤り | 不正解",
        "after": "以外 | じゃありません | ではなかった | ではありません | ではない | ではなく | じゃない | じゃなく",
        "no": "いいえ",
        "yes": "はい",
        "either": "か | または",
        "both": "も | と",
        "but": "しかし",
        "because": "なぜなら",
        "so": "したがって | よって",
        "unsure": "わかりません | 分かりません",
        "whether": "もし",
        "polite": "です",
    },
    "ko": {
        "letters": "가 나 다 라 마 바",
        "ordinals": "첫 번째 | 첫번째; 두 번째 | 두번째; 세 번째 | 세번째; 네 번째 | 네번째; 다섯 번째; 여섯 번째",
        "last": "마지막",
        "answer": "정답 | 답",
        "option": "선택지 | 보기",
        "beside": "은 | 는 | 이 | 가",
        "counters": "번",
        "right": "맞습니다 | 맞다 | 정답입니다",
        "wrong": "틀렸습니다 | 틀립니다 | 오답",
        "after": "아닌 | 아니 | 아닙니다 | 아니라 | 아니고 | 아니에요 | 아니다",
        "no": "아니요 | 아니오 | 아닙니다",
        "yes": "네 | 예",
        "either": "또는 | 혹은",
        "both": "와 | 과",
        "but": "하지만",
        "because": "왜냐하면",
        "so": "따라서 | 그러므로",
        "unsure": "모르겠습니다 | 알 수 없습니다",
        "whether": "만약",
        "polite": "입니다",
    },
    "hi and mr": {
        "letters": "क ख ग घ ङ च",
        "ordinals": "पहला | पहली; दूसरा | दूसरी; तीसरा | तीसरी; चौथा | चौथी; पाँचवाँ; छठा",
        "last": "आखिरी | अंतिम",
        "answer": "उत्तर | जवाब",
        "option": "विकल्प | नंबर",
        "beside": "है | यह | में | की",
        "right": "सही",
        "wrong": "गलत | सही नहीं",
        "after": "नहीं है | नहीं",
        "no": "नहीं",
        "yes": "हाँ | हां",
        "either": "या",
        "both": "और",
        "but": "लेकिन | बल्कि",
        "because": "क्योंकि",
        "so": "इसलिए | अतः",
        "unsure": "पता नहीं | नहीं पता | मुझे नहीं पता",
        "whether": "अगर | यदि",
    },
    "bn": {
        "letters": "ক খ গ ঘ ঙ চ",
        "ordinals": "প্রথম; দ্বিতীয়; তৃতীয়; চতুর্থ; পঞ্চম; ষষ্ঠ",
        "answer": "উত্তর",
        "option": "বিকল্প",
        "right": "সঠিক",
        "wrong": "ভুল",
        "after": "নয় | না",
        "no": "না",
        "yes": "হ্যাঁ",
        "either": "অথবা | বা",
        "both": "এবং",
        "but": "কিন্তু",
        "because": "কারণ",
        "so": "তাই",
        "unsure": "জানি না",
    },
    "te": {
        "letters": "అ ఆ ఇ ఈ ఉ ఊ",
        "answer": "సమాధానం",
        "after": "కాదు",
        "either": "లేదా",
    },
    "si": {
        "answer": "පිළිතුර",
        "after": "නොවේ",
        "either": "හෝ",
    },
    "ar": {
        "letters": "أ ب ج د هـ و | ا ب ج د ه و | الف ب ج د",
        "ordinals": (
            "الأول | الأولى; الثاني | الثانية; الثالث | الثالثة; الرابع | الرابعة; الخامس; السادس"
        ),
        "last": "الأخير | الأخيرة",
        "answer": "الإجابة | الجواب | أعتقد | الاجابة",
        "option": "الخيار | رقم | الحرف",
        "beside": "هي | هو | هذه | هذا | أن",
        "right": "صحيح | صحيحة | الصحيحة | الصحيح",
        "wrong": "خطأ | خاطئ | خاطئة | غير صحيح | غير صحيحة",
        "before": "لا | لم | لن | ما عدا | باستثناء | ولا | ليست | ليس | لا تكون | وليس | وليست",
        "no": "لا | كلا",
        "yes": "نعم",
        "either": "أو | إما | أم",
        "both": "و",
        "but": "بل | لكن | ولكن",
        "because": "لأن",
        "so": "لذلك | إذن",
        "unsure": "لا أعرف | لا أعلم | لا أستطيع",
        "whether": "إذا | لو",
    },
    "ur": {
        "answer": "جواب",
        "option": "آپشن",
        "right": "درست",
        "wrong": "غلط",
        "after": "نہیں",
        "either": "یا",
    },
    "ru and bg": {
        "letters": "_ Б _ Г Д",
        "ordinals": "первый; второй; третий; четвёртый | четвертый; пятый; шестой",
        "last": "последний",
        "answer": "ответ | отговор | думаю | считаю",
        "option": "вариант | номер",
        "beside": "это",
        "right": "правильный | верно | правильно | верный",
        "wrong": "неверно | неправильно | неправильный | неверный",
        "before": "ни | кроме | не | не является | вместо",
        "no": "нет",
        "yes": "да",
        "either": "или | либо",
        "both": "и",
        "but": "но | а",
        "because": "потому что | так как",
        "so": "поэтому | значит | итак",
        "unsure": "не знаю | не могу",
        "whether": "если",
        "harmless": "не уверен",
    },
    "es and pt": {
        "ordinals": (
            "primera | primero | primeira; segunda | segundo; tercera | tercero | terceira; "
            "cuarta | cuarto | quarta; quinta | quinto; sexta | sexto"
        ),
        "last": "última | último",
        "answer": "respuesta | resposta | creo que | creo",
        "option": "opción | opção | alternativa | letra | número",
        "beside": (
            "puede ser | podría ser | pode ser | quizás | probablemente | es | la | el | é | "
            "a letra | sería"
        ),
        "right": "correcta | correcto | correta | certa",
        "wrong": "incorrecta | incorrecto | errada",
        "before": "^ni | no | não | excepto | no creo | no es | não é | en lugar de | en vez de",
        "no": "no | não",
        "yes": "sí | sim",
        "either": "o | ou",
        "both": "y | e",
        "but": "sino | pero | mas",
        "because": "porque",
        "so": "por lo tanto | por tanto | portanto",
        "unsure": "no sé | no puedo",
        "whether": "caso",
        "harmless": "no estoy seguro | no solo",
    },
    "fr, de, nl, no and ro": {
        "answer": "réponse | antwort | antwoord | svaret | svar | răspunsul",
        "option": "choix | lettre | buchstabe",
        "beside": "est | ist | er",
        "right": "correcte | richtig | juist | riktig",
        "wrong": "incorrecte | falsch | onjuist | feil",
        "before": "pas | n'est pas | nicht | kein | keine | niet | ikke | nu este",
        "no": "non | nein | nee | nei | nu",
        "yes": "oui | ja | da",
        "either": "ou | oder | of | eller | sau",
        "both": "et | und | en | og",
        "but": "mais | sondern | aber | maar | men",
        "because": "parce que | weil | omdat | fordi",
        "so": "donc",
        "unsure": "je ne sais pas | weiß nicht | weet niet | vet ikke",
    },
    "others": {
        # Irish, Breton; Mongolian; Swahili, Igbo, Oromo, Kinyarwanda, Amharic; Minangkabau
        "answer": (
            "freagra | respont | хариулт | jibu | azịza | deebii | deebiin | igisubizo | መልስ | "
            "jawabanyo"
        ),
        "beside": "ni",
    },
}
